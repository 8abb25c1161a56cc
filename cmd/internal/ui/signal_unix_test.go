//go:build !windows

package ui

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

// The first signal lets the command end by itself, and what it makes of that is its own.
func TestFirstSignalCancels(t *testing.T) {
	for _, tt := range []struct {
		s     syscall.Signal
		clean bool
		says  string
	}{
		{syscall.SIGINT, false, "yan-tool: interrupted\n"},
		{syscall.SIGTERM, false, "yan-tool: terminated\n"},
		{syscall.SIGTERM, true, ""},
	} {
		var errs bytes.Buffer
		status := Run(t.Context(), tool(func(cmd *cobra.Command) error {
			if err := syscall.Kill(os.Getpid(), tt.s); err != nil {
				return err
			}
			<-cmd.Context().Done()
			if tt.clean {
				return nil
			}
			return cmd.Context().Err()
		}), []string{"work"}, io.Discard, &errs)
		want := Failed
		if tt.clean {
			want = Done
		}
		if status != want || errs.String() != tt.says {
			t.Errorf("%v: status %d, says %q", tt.s, status, errs.String())
		}
	}
}

// The second signal ends the process whatever the command is doing.
func TestSecondSignalExits(t *testing.T) {
	exited := make(chan int, 1)
	exit = func(status int) { exited <- status }
	defer func() { exit = os.Exit }()
	var errs bytes.Buffer
	Run(t.Context(), tool(func(cmd *cobra.Command) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			return err
		}
		<-cmd.Context().Done()
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			return err
		}
		if status := <-exited; status != Failed {
			t.Errorf("exits with %d", status)
		}
		return nil
	}), []string{"work"}, io.Discard, &errs)
	if got, want := errs.String(), "yan-tool: interrupted again: stopping at once\n"; got != want {
		t.Errorf("says %q, want %q", got, want)
	}
}
