// Command yan-node runs a device: a mind that completes what is typed, learns from it and remembers,
// and that shares with others what its owner lets it share.
//
// Its main type is a run's session; the other commands open the same home while no node runs on it, or ask
// the node that does. It promises that whatever it acknowledged is on the disk. It has no business of its
// own beyond that: how a mind learns, what peers say and what survives a restart stand in the packages
// that it joins together.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

func main() {
	// A device's memory is scarcer than its processor: garbage takes at most half of what is in use, unless the owner
	// wants it otherwise.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	ui.Main(command(new(runFlags)))
}

// common are the flags that every command has.
type common struct {
	home  string
	model string
	json  bool

	memory byteSize
}

// command is the whole command line, with these flags of run.
func command(run *runFlags) *cobra.Command {
	var c common
	run.common = &c
	root := &cobra.Command{
		Use:   "yan-node",
		Short: "Run a device that completes what you type, learns from it and remembers",
		Long: `yan-node runs a device: type, and it goes on from what you typed, learns from it and remembers.
It meets other nodes and takes in the skills that their owners share; of its own it shares nothing
unless told to. Without a command it runs.`,
		Example: `  yan-node                                         type, and it completes, learns and remembers
  yan-node --join /ip4/192.0.2.1/udp/4001/quic-v1/p2p/ID --share skills`,
		Args:                       noCommand,
		SuggestionsMinimumDistance: 2,
		RunE:                       run.run,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&c.home, "home", "", "the folder that holds the device's identity and mind (default ~/.yan)")
	flags.StringVar(&c.model, "model", "", "checkpoint of the base model to stand on (default the embedded one)")
	flags.Var(&c.memory, "memory", "what skills may take of memory, as 200MB; beyond it those that are used least rest on the disk (default no limit)")
	flags.BoolVar(&c.json, "json", false, "print JSON on stdout, and what people read on stderr")
	run.add(root)

	again := &cobra.Command{
		Use:   "run",
		Short: "Run the device (the default command)",
		Long:  root.Long,
		Example: `  yan-node run --read notes.txt --skill notes --exit-after-read
  tail -f events.log | yan-node run --read - --share none`,
		Args: cobra.NoArgs,
		RunE: run.run,
	}
	run.add(again)
	root.AddCommand(again, completeCommand(&c), learnCommand(&c), evalCommand(&c), skillCommand(&c), swarmCommand(&c), traceCommand(&c),
		peersCommand(&c), statusCommand(&c), doctorCommand(&c), benchCommand(&c, (*benchFlags).plan))
	return root
}

// noCommand refuses words that are no command, with the nearest ones that are.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	near := ""
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		near = ": did you mean " + strings.Join(s, " or ") + "?"
	}
	return ui.Usage("unknown command %q%s", args[0], near)
}

// folder is the home, whether it is there or not.
func (c *common) folder() (string, error) {
	if c.home != "" {
		return c.home, nil
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		return "", ui.Usage("there is no home directory (%w): name a folder with --home", err)
	}
	return filepath.Join(dir, ".yan"), nil
}

// open opens the home while no node runs on it.
func (c *common) open(cmd *cobra.Command, opt device.Options) (*device.Device, error) {
	home, err := c.folder()
	if err != nil {
		return nil, err
	}
	opt.Home, opt.ModelFile, opt.Agent = home, c.model, agent()
	if opt.Swarm, err = bookIn(home).name(); err != nil {
		return nil, err
	}
	opt.Learning.Memory = int64(c.memory)
	if opt.Log == nil {
		opt.Log = warnings(cmd.ErrOrStderr())
	}
	return device.Open(opt)
}

// agent is what the node calls itself to peers.
func agent() string {
	version, _, _ := strings.Cut(ui.Version(), " ")
	a := "yan-node " + version
	return a[:min(len(a), protocol.MaxAgent)]
}

// warnings logs what the owner should know, without the time: it is read when it is written.
func warnings(w io.Writer) *slog.Logger { return untimed(w, slog.LevelWarn) }

// untimed logs what matters at least as much as level, without the time.
func untimed(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return named(groups, a)
		},
	}))
}

// shareOf parses --share.
func shareOf(s string) (node.Share, error) {
	switch share := node.Share(s); share {
	case node.ShareNone, node.ShareSkills, node.ShareAll:
		return share, nil
	}
	return "", ui.Usage("--share %q: write none, skills or all", s)
}

// percent prints a share.
func percent(v float64) string { return fmt.Sprintf("%.3g %%", 100*v) }
