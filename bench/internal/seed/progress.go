package seed

import (
	"fmt"
	"io"
	"time"
)

// Progress gives what Write and Publish are to tell: it prints a line for each tenth of
// the count.
func Progress(w io.Writer, count int) func(int) {
	began, next := time.Now(), 1
	return func(n int) {
		if n*10 >= count*next {
			_, _ = fmt.Fprintf(w, "%10d of %d after %s\n", n, count, time.Since(began).Round(time.Millisecond)) // for who looks on
			next = n*10/count + 1
		}
	}
}
