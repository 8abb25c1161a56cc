// Package ui is how every command of the project behaves towards its user: what it exits with, how
// it words an error, when it shows progress and how it prints a result.
//
// Main runs a command line and ends the process; Progress tells someone who waits how far the work
// is; Table, JSON and the formatting functions print results.
//
// Results go to stdout and nothing else does: a --json document there is all there is. The promise
// to scripts is the exit status, 0 done, 1 failed, 2 bad usage, and that every error is one line
// on stderr. The package knows no command.
package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// What a command exits with.
const (
	Done     = 0
	Failed   = 1
	BadUsage = 2
)

// Main runs the command line of this process and exits with its status.
func Main(root *cobra.Command) {
	os.Exit(Run(context.Background(), root, os.Args[1:], os.Stdout, os.Stderr))
}

// exit ends the process; tests replace it.
var exit = os.Exit

// Run executes root with args and returns the exit status. The first interrupt or termination
// signal cancels the context that the commands get, so that they stop cleanly; the second ends the
// process at once.
//
// An error is bad usage if it came before a command began to run (an unknown flag, a missing
// argument), if it was made by Usage, or if it has a method Usage that returns true.
func Run(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	stopped := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for range 2 {
			select {
			case s := <-signals:
				if ctx.Err() != nil {
					fmt.Fprintf(stderr, "%s: %s again: stopping at once\n", root.Name(), signalName(s))
					exit(Failed)
				}
				cancel(&interrupt{s})
			case <-stopped:
				return
			}
		}
	}()
	defer func() {
		signal.Stop(signals)
		close(stopped)
		<-finished
	}()

	running := false
	prepare(root, &running)
	root.SilenceErrors, root.SilenceUsage = true, true
	if root.Version == "" {
		root.Version = Version()
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return Done
	}
	var stop *interrupt
	if errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &stop) {
		err = stop
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	if running && !isUsage(err) {
		fmt.Fprintf(stderr, "%s: %s\n", root.Name(), text)
		return Failed
	}
	fmt.Fprintf(stderr, "%s: %s (see %s --help)\n", root.Name(), text, cmd.CommandPath())
	return BadUsage
}

// interrupt is why a context was cancelled by a signal.
type interrupt struct{ s os.Signal }

func (i *interrupt) Error() string { return signalName(i.s) }

func signalName(s os.Signal) string {
	if s == syscall.SIGTERM {
		return "terminated"
	}
	return "interrupted"
}

// prepare makes every command below root say when it begins to run, and those that only have
// subcommands refuse what is none.
func prepare(c *cobra.Command, running *bool) {
	switch run, old := c.RunE, c.Run; {
	case run != nil:
		c.RunE = func(cmd *cobra.Command, args []string) error {
			*running = true
			return run(cmd, args)
		}
	case old != nil:
		c.Run = func(cmd *cobra.Command, args []string) {
			*running = true
			old(cmd, args)
		}
	case c.HasSubCommands():
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return Usage("unknown command %q for %q", args[0], cmd.CommandPath())
			}
			return cmd.Help()
		}
	}
	for _, sub := range c.Commands() {
		prepare(sub, running)
	}
}

type usageError struct{ error }

func (usageError) Usage() bool     { return true }
func (e usageError) Unwrap() error { return e.error }

// Usage makes an error that only another command line can mend. The format may wrap an error
// with %w.
func Usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func isUsage(err error) bool {
	var u interface{ Usage() bool }
	return errors.As(err, &u) && u.Usage()
}

// IsTerminal reports whether a reader or writer is a terminal.
func IsTerminal(f any) bool {
	fd, ok := f.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(fd.Fd()))
}

// Width is how many letters a line of a writer has: those of a terminal, and 80 of anything else.
func Width(f any) int {
	if fd, ok := f.(interface{ Fd() uintptr }); ok {
		if w, _, err := term.GetSize(int(fd.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// HasColour reports whether a writer is a terminal whose user does not mind colour, as told by $NO_COLOR.
func HasColour(f any) bool { return IsTerminal(f) && os.Getenv("NO_COLOR") == "" }

// JSON prints v as one indented document.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("ui: print JSON: %w", err)
	}
	return nil
}

// Version names the build: the module's version, the commit, the Go release and the machine.
func Version() string {
	version, commit := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			version = v
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value[:min(len(s.Value), 8)] + ", " + commit
			case s.Key == "vcs.modified" && s.Value == "true":
				commit += "with changes, "
			}
		}
	}
	return fmt.Sprintf("%s (%s%s %s/%s)", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
