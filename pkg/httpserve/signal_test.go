package httpserve_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"loom.internal/pkg/httpserve"
)

const stopping = "LOOM_TEST_STOPPING"

// stopForEver is a process of TestSecondSignalKills: it says that it stops, and does not.
func stopForEver() {
	ctx := httpserve.UntilSignal()
	fmt.Println("up")
	<-ctx.Done()
	fmt.Println("stopping")
	select {}
}

func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	for range 20 {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), stopping+"=1")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for _, want := range []string{"up", "stopping"} {
				for lines.Scan() && lines.Text() != want {
				}
				if lines.Text() != want {
					t.Fatalf("the process did not say that it is %s", want)
				}
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
			}
			err = cmd.Wait()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok {
				t.Fatalf("the second %v: got %v, want the end by it", sig, err)
			}
			if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != sig {
				t.Fatalf("the second %v: got %v, want the end by it", sig, err)
			}
		}
	}
}
