package link_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"loom.internal/bench/internal/link"
)

// echo is a server that sends back what comes, and a link to it.
func echo(t *testing.T) *link.Link {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	l, err := link.Listen(t.Context(), func() (string, string) { return "tcp", ln.Addr().String() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dial(t *testing.T, l *link.Link) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// trip sends n bytes and waits until they are back.
func trip(t *testing.T, c net.Conn, n int) time.Duration {
	t.Helper()
	began := time.Now()
	go func() { _, _ = c.Write(make([]byte, n)) }()
	if _, err := io.ReadFull(c, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// during has the link in a state until the function it returns is called.
func during(t *testing.T, l *link.Link, s link.State) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { l.During(ctx, s, time.Hour); close(done) }()
	return func() { cancel(); <-done }
}

func TestLink(t *testing.T) {
	t.Parallel()
	l := echo(t)
	c := dial(t, l)
	trip(t, c, 1<<20)

	end := during(t, l, link.State{Delay: 60 * time.Millisecond})
	for took := time.Duration(0); took < 120*time.Millisecond; { // it may not have begun yet
		took = trip(t, c, 100)
	}
	end()
	end = during(t, l, link.State{Rate: 2000})
	for took := time.Duration(0); took < 200*time.Millisecond; {
		took = trip(t, c, 400)
	}
	end()
	trip(t, c, 1<<20)
}

// Bytes that are stalled come later, all of them.
func TestStall(t *testing.T) {
	t.Parallel()
	l := echo(t)
	c := dial(t, l)
	trip(t, c, 10)
	end := during(t, l, link.State{Stalled: true})
	for {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			break // nothing comes any more
		}
	}
	end()
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Errorf("after the stall: %v", err)
	}
}

// Connections that are cut end on both sides, and new ones are fine.
func TestCut(t *testing.T) {
	t.Parallel()
	l := echo(t)
	c := dial(t, l)
	trip(t, c, 10)
	l.Cut()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes of a connection that was cut", n)
	}
	trip(t, dial(t, l), 10)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// Nobody there: the client is told, and the link stays.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	l, err := link.Listen(t.Context(), func() (string, string) { return "unix", t.TempDir() + "/nobody" })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", l.Addr())
		if err != nil {
			continue // told even earlier
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("want an error")
		}
		_ = c.Close()
	}
}
