//go:build faultpoints

package faultpoint

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

var (
	hook atomic.Pointer[func(name string)]
	// A variable that cannot be read ends the process before main: a run in which
	// nothing dies would look like one in which nothing is lost.
	armed = mustLoad()
)

// OnHit has f called at every hit, on the goroutine that gets there, before the dice
// are thrown. It is for tests within one process.
func OnHit(f func(name string)) { hook.Store(&f) }

// Hit is a point: the process may die here. The name is one of Names.
func Hit(name string) {
	if !slices.Contains(names, name) {
		panic("fault point " + name + " is not in the list")
	}
	if f := hook.Load(); f != nil {
		(*f)(name)
	}
	if armed.dies(name) {
		armed.die(name)
	}
}

// HitIn is the point name of a part of Loom that shares its code with others.
func HitIn(part, name string) { Hit(part + "." + name) }

// arms is what the environment says.
type arms struct {
	chances map[string]float64
	log     string

	mu   sync.Mutex // held for good by the goroutine that dies
	dice *rand.Rand
}

func mustLoad() *arms {
	a, err := load(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fault points:", err)
		os.Exit(2)
	}
	return a
}

func load(getenv func(string) string) (*arms, error) {
	a := &arms{chances: make(map[string]float64), log: getenv("LOOM_FAULTPOINT_LOG")}
	seed := rand.Uint64()
	if text := getenv("LOOM_FAULTPOINT_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("LOOM_FAULTPOINT_SEED: %w", err)
		}
	}
	a.dice = rand.New(rand.NewPCG(seed, 0x706f696e74))
	for item := range strings.SplitSeq(getenv("LOOM_FAULTPOINTS"), ",") {
		if item == "" {
			continue
		}
		name, text, _ := strings.Cut(item, "=")
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("LOOM_FAULTPOINTS: no point is called %q, there are %s", name, strings.Join(names, ", "))
		}
		chance, err := strconv.ParseFloat(text, 64)
		if err != nil || !(chance >= 0 && chance <= 1) {
			return nil, fmt.Errorf("LOOM_FAULTPOINTS: %s: want a probability of 0 to 1, got %q", name, text)
		}
		a.chances[name] = chance
	}
	return a, nil
}

// dies throws the dice.
func (a *arms) dies(name string) bool {
	chance := a.chances[name]
	if chance == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dice.Float64() < chance
}

// die does not return. One goroutine alone gets to write the name.
func (a *arms) die(name string) {
	a.mu.Lock()
	if a.log != "" {
		f, err := os.OpenFile(a.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(name + "\n")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "fault points:", err)
		}
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // not one instruction more
}
