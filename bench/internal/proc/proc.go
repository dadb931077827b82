// Package proc runs children that are killed and started again.
package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	killWait   = 10 * time.Second
	stopWait   = 40 * time.Second
	afterFall  = 500 * time.Millisecond
	afterDeath = 20 * time.Millisecond
)

// Spec is what to run.
type Spec struct {
	Kind string // of several alike
	Name string
	Path string
	Args []string
	Env  []string // all of it
	Log  string   // file that output is appended to

	// Arm, if set, gives more of the environment, at each start.
	Arm func() []string

	// Victim gives the process that Kill kills, if it is not the child itself; the child
	// has to end when that one does.
	Victim func() (pid int, err error)
}

// Proc is a child. Its methods are for any goroutine; they wait for each other.
type Proc struct {
	Spec
	Kills, Stops atomic.Int64
	Deaths       atomic.Int64 // by a SIGKILL that it sent itself
	Falls        atomic.Int64 // other ends that nobody asked for

	mu     sync.Mutex // held from a kill to the start after it
	child  *child     // nil: not running
	closed bool
}

// child is one life of a Proc.
type child struct {
	*os.Process
	ended chan struct{}
	state *os.ProcessState // once it has ended
	asked atomic.Bool      // to end
}

// over reports whether the child has ended.
func (c *child) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// killed reports whether a child that has ended was killed.
func (c *child) killed() bool {
	status, ok := c.state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// New makes a child that does not run yet.
func New(s Spec) *Proc { return &Proc{Spec: s} }

// Start runs the child. It does not wait until the child is of use. The child outlives
// ctx: Close ends it.
func (p *Proc) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.start(ctx)
}

// ErrNotRunning is of a child that is not there to be ended. It may be a moment later.
var ErrNotRunning = errors.New("does not run")

// Kill kills the child by SIGKILL, calls meanwhile, and starts it again.
func (p *Proc) Kill(ctx context.Context, meanwhile func() error) error {
	return p.cycle(ctx, &p.Kills, p.kill, meanwhile)
}

// Stop ends the child by SIGTERM, calls meanwhile, and starts it again.
func (p *Proc) Stop(ctx context.Context, meanwhile func() error) error {
	return p.cycle(ctx, &p.Stops, p.term, meanwhile)
}

func (p *Proc) cycle(ctx context.Context, count *atomic.Int64, end, meanwhile func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == nil || p.child.over() {
		return fmt.Errorf("%s %w", p.Name, ErrNotRunning)
	}
	if err := end(); err != nil {
		return err
	}
	count.Add(1)
	return errors.Join(meanwhile(), p.start(ctx))
}

// Close ends the child for good.
func (p *Proc) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.child == nil {
		return nil
	}
	return p.term()
}

func (p *Proc) start(ctx context.Context) error {
	if p.closed {
		return nil
	}
	out, err := os.OpenFile(p.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.Path, p.Args...) //nolint:gosec // what the rig built
	cmd.Env, cmd.Stdout, cmd.Stderr = p.Env, out, out
	if p.Arm != nil {
		cmd.Env = append(slices.Clone(p.Env), p.Arm()...)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the runner
	dieWithParent(cmd.SysProcAttr)
	started, c := make(chan error), &child{ended: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // the signal of a dead parent is tied to the thread
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			c.state = cmd.ProcessState
			close(c.ended)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	c.Process, p.child = cmd.Process, c
	go p.watch(context.WithoutCancel(ctx), c)
	return nil
}

// watch starts a child again that ended by itself, as a supervisor would.
func (p *Proc) watch(ctx context.Context, c *child) {
	<-c.ended
	if c.asked.Load() {
		return
	}
	wait := afterDeath
	if c.killed() {
		p.Deaths.Add(1)
	} else {
		p.Falls.Add(1)
		wait = afterFall
	}
	<-time.After(wait)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == c {
		_ = p.start(ctx) // if it cannot, the run ends with no service, and the oracle says so
	}
}

func (p *Proc) kill() error {
	if p.Victim == nil {
		p.child.asked.Store(true)
		_ = p.child.Kill() // one that has ended by itself is dead too
		return p.gone(killWait)
	}
	pid, err := p.Victim()
	if err != nil {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	p.child.asked.Store(true)
	_ = syscall.Kill(pid, syscall.SIGKILL) // likewise
	return p.gone(killWait)
}

func (p *Proc) term() error {
	p.child.asked.Store(true)
	_ = p.child.Signal(syscall.SIGTERM) // likewise
	err := p.gone(stopWait)
	if err != nil {
		_ = p.child.Kill()
		err = errors.Join(fmt.Errorf("%s does not stop within %s of SIGTERM", p.Name, stopWait), p.gone(killWait))
	}
	return err
}

func (p *Proc) gone(within time.Duration) error {
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-p.child.ended:
		p.child = nil
		return nil
	case <-t.C:
		return fmt.Errorf("%s (pid %d) has not ended within %s", p.Name, p.child.Pid, within)
	}
}
