package oracle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const scanBuffer = 1 << 20

// Hit is a file that holds what no file may hold.
type Hit struct {
	Path   string
	Needle string // its name, not itself
}

// Scan looks for needles, named by their keys, in all files under the directories. It
// gives every file with the first needle found in it, and how many bytes it has read.
func Scan(ctx context.Context, needles map[string]string, dirs ...string) (hits []Hit, read int64, err error) {
	longest := 0
	for _, n := range needles {
		longest = max(longest, len(n))
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && ctx.Err() == nil {
				var found string
				var n int64
				found, n, err = scanFile(path, needles, longest)
				if read += n; found != "" {
					hits = append(hits, Hit{path, found})
				}
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // gone meanwhile
			}
			return errors.Join(err, ctx.Err())
		})
		if err != nil {
			return hits, read, err
		}
	}
	return hits, read, nil
}

// scanFile gives the name of the first needle in a file, and how many bytes it has read.
func scanFile(path string, needles map[string]string, longest int) (found string, read int64, err error) {
	f, err := os.Open(path) //nolint:gosec // in the run's directory
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }()
	buf := make([]byte, 0, scanBuffer+longest)
	for {
		n, err := f.Read(buf[len(buf):cap(buf)])
		read += int64(n)
		buf = buf[:len(buf)+n]
		for name, needle := range needles {
			if bytes.Contains(buf, []byte(needle)) {
				return name, read, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return "", read, nil
		}
		if err != nil {
			return "", read, err
		}
		// A needle may lie across two reads.
		buf = buf[:copy(buf, buf[max(0, len(buf)-longest+1):])]
	}
}
