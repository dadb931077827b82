package local

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
)

// maxSocketPath is the shortest limit of a Unix socket's path, on macOS, in bytes.
const maxSocketPath = 103

// ServeSocket lets other processes of this account connect to the server over a Unix
// socket, of which it returns the path: in dir, or where temporary files go if dir lies
// too deep. It ends with stop.
func (n *NATS) ServeSocket(dir string) (path string, stop func(), err error) {
	// A directory of its own: nobody else may pass, whatever the socket's own mode.
	home := filepath.Join(dir, "sock")
	if len(filepath.Join(home, "nats.sock")) > maxSocketPath {
		if home, err = os.MkdirTemp("", "loom-nats-"); err != nil {
			return "", nil, fmt.Errorf("socket of NATS: %w", err)
		}
	} else if err := os.MkdirAll(home, 0o700); err != nil {
		return "", nil, fmt.Errorf("socket of NATS: %w", err)
	}
	path = filepath.Join(home, "nats.sock")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // a killed run's
		return "", nil, fmt.Errorf("socket of NATS: %w", err)
	}
	ln, err := net.Listen("unix", path) //nolint:noctx // it opens at once
	if err != nil {
		return "", nil, fmt.Errorf("socket of NATS: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go n.pass(conn)
		}
	}()
	return path, func() {
		_ = ln.Close()
		<-done
		if filepath.Dir(home) != dir {
			_ = os.RemoveAll(home)
		}
	}, nil
}

// pass carries bytes between a client and the server until one of them goes, at the
// latest with the server.
func (n *NATS) pass(client net.Conn) {
	defer client.Close() //nolint:errcheck // it is over
	server, err := n.srv.InProcessConn()
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // it is over
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close() // ends the copy below
	}()
	_, _ = io.Copy(client, server)
}

// DialNATS is the option that makes a connection go to a socket of ServeSocket, whatever
// its address.
func DialNATS(socket string) nats.Option { return nats.SetCustomDialer(socketDialer(socket)) }

type socketDialer string

// Dial implements nats.CustomDialer.
func (s socketDialer) Dial(string, string) (net.Conn, error) {
	return net.DialTimeout("unix", string(s), 2*time.Second) //nolint:noctx // the interface has none
}

// SkipTLSHandshake implements nats.CustomDialer's optional part: a private socket needs none.
func (socketDialer) SkipTLSHandshake() bool { return true }
