package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/p2p"
	"github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/protocol"
)

// runFlags are the flags of run.
type runFlags struct {
	*common
	listen, join []string
	relays       []string
	serveRelay   bool
	upload       rate
	download     rate
	lan          bool
	offline      bool
	share        string
	central      uint8
	api          string
	apiToken     string
	read         string
	skill        string
	exitAfter    bool
	length       time.Duration
	log, level   string
	seed         uint64

	journal func(node.Journal) node.Journal // what stands before the disk; for tests
}

func (f *runFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.listen, "listen", nil, "multiaddrs to listen on (default a free port on all interfaces)")
	flags.StringSliceVar(&f.join, "join", nil, "multiaddrs, each ending in /p2p/ID, of nodes to join through")
	flags.StringSliceVar(&f.relays, "relay", nil, "multiaddrs, each ending in /p2p/ID, of nodes to be reached through, for one that is behind a router")
	flags.BoolVar(&f.serveRelay, "serve-relay", false, "let others be reached through this node, which must have a public address")
	flags.BoolVar(&f.lan, "lan", false, "look for nodes on the local network too")
	flags.BoolVar(&f.offline, "offline", false, "meet nobody")
	flags.StringVar(&f.share, "share", "none", "what others may have: none (but what was shared with skill share), skills or all")
	flags.Uint8Var(&f.central, "central", 1, "how many turns it takes at saying what all merge, beside the others' (0 for none: it has no time for that)")
	flags.StringVar(&f.api, "api", defaultAPI, "address of the HTTP API, which status and peers ask too: a loopback one, or any with --api-token; empty for none")
	flags.StringVar(&f.apiToken, "api-token", "", "file with the token that requests to the API must bring, which is made if it is not there")
	flags.Var(&f.upload, "upload", "bytes of skills to send a second to devices beyond the local network, as 200kB, or none for no limit (default 131 kB)")
	flags.Var(&f.download, "download", "and to receive (default 1.05 MB)")
	flags.StringVar(&f.read, "read", "", "read and learn a file, or - for stdin as it comes")
	flags.StringVar(&f.skill, "skill", "", "name what is read or typed: it is learnt into the skill of that name")
	flags.BoolVar(&f.exitAfter, "exit-after-read", false, "end once all is read")
	flags.DurationVar(&f.length, "for", 0, "end after so long (0 for never)")
	flags.StringVar(&f.log, "log-format", "text", "how it logs: text or json")
	flags.StringVar(&f.log, "log", "text", "the same as --log-format")
	_ = flags.MarkHidden("log") // there is one of that name
	flags.StringVar(&f.level, "log-level", "", "what it logs: debug, info, warn or error (default info without a terminal, else warn)")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of what the node draws by chance when it speaks")
}

// temperature at which the node goes on from what was typed.
const temperature = 0.3

// check refuses flags that no machine could make sense of.
func (f *runFlags) check() error {
	if _, err := shareOf(f.share); err != nil {
		return err
	}
	if err := checkAPI(f.api, f.apiToken); err != nil {
		return err
	}
	if f.skill != "" {
		if err := learning.CheckName(f.skill); err != nil {
			return ui.Usage("--skill: %w", err)
		}
	}
	if f.exitAfter && f.read == "" {
		return ui.Usage("--exit-after-read without --read: name what to read")
	}
	if f.length < 0 {
		return ui.Usage("--for %v: a length of time is not negative", f.length)
	}
	if f.log != "text" && f.log != "json" {
		return ui.Usage("--log-format %q: write text or json", f.log)
	}
	if _, err := levelOf(f.level, slog.LevelInfo); err != nil {
		return err
	}
	if f.offline && (f.lan || f.serveRelay || len(f.join)+len(f.listen)+len(f.relays) > 0) {
		return ui.Usage("--offline meets nobody: leave out --listen, --join, --relay, --serve-relay and --lan, or --offline")
	}
	c := p2p.Config{Listen: f.listen, Join: f.join, Relays: f.relays, Upload: int(f.upload), Download: int(f.download)}
	if err := c.Check(); err != nil {
		return ui.Usage("%w", err)
	}
	return nil
}

// An input says what stdin is to a run.
type input int

const (
	silent   input = iota // nothing will ever come: a daemon
	piped                 // text will come, and end
	terminal              // somebody types
)

func inputOf(in io.Reader) input {
	f, ok := in.(*os.File)
	if !ok {
		return piped
	}
	if ui.IsTerminal(f) {
		return terminal
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&fs.ModeCharDevice != 0 {
		return silent
	}
	return piped
}

// A session is one run of a node.
type session struct {
	*runFlags
	in    io.Reader
	input input
	out   *printer
	errs  io.Writer
	log   *slog.Logger
	dev   *device.Device
	id    protocol.PeerID
	mesh  *p2p.Mesh // nil when the node is alone
	swarm string    // whose devices alone it talks with; empty for all
	api   *door     // nil when there is none
	disk  *timedJournal

	foldGain *prometheus.HistogramVec
	lastFold atomic.Pointer[foldReport]

	began time.Time
}

// named logs what has a name by its name, also where the format would take it apart.
func named(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindAny {
		if s, ok := a.Value.Any().(fmt.Stringer); ok {
			a.Value = slog.StringValue(s.String())
		}
	}
	return a
}

// levelOf parses --log-level.
func levelOf(text string, otherwise slog.Level) (slog.Level, error) {
	switch text {
	case "":
		return otherwise, nil
	case "debug", "info", "warn", "error":
		var l slog.Level
		return l, l.UnmarshalText([]byte(text))
	}
	return 0, ui.Usage("--log-level %q: write debug, info, warn or error", text)
}

// logger logs as the flags say. Who sits before it needs no times, and only what matters.
func (s *session) logger() *slog.Logger {
	usual := slog.LevelWarn
	if s.daemon() {
		usual = slog.LevelInfo
	}
	level, err := levelOf(s.level, usual)
	if err != nil {
		level = usual // check has refused it before
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: named}
	switch {
	case s.runFlags.log == "json":
		return slog.New(slog.NewJSONHandler(s.errs, options))
	case s.daemon():
		return slog.New(slog.NewTextHandler(s.errs, options))
	}
	return untimed(s.errs, level)
}

// daemon reports whether nobody is there but the log.
func (s *session) daemon() bool { return s.input == silent && s.read == "" }

func (f *runFlags) run(cmd *cobra.Command, args []string) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	ctx := cmd.Context()
	if f.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.length)
		defer cancel()
	}
	s := &session{runFlags: f, in: cmd.InOrStdin(), errs: cmd.ErrOrStderr(), began: time.Now()}
	s.input = inputOf(s.in)
	s.out = &printer{w: cmd.OutOrStdout()}
	if f.json {
		s.out.notes, s.out.json = s.errs, true
	}
	s.log = s.logger()

	var source io.Reader
	if f.read != "" {
		r, err := openRead(f.read, s.in)
		if err != nil {
			return err
		}
		defer r.Close()
		source = r
	}
	if s.dev, err = f.open(cmd, device.Options{Share: node.Share(f.share), Central: f.central, Log: s.log}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if f.journal != nil {
		s.dev.Journal = f.journal(s.dev.Journal)
	}
	s.disk, s.foldGain = newTimedJournal(s.dev.Journal), newFoldGain()
	s.dev.Journal, s.id = s.disk, s.dev.Node.Self()
	if err := s.join(ctx); err != nil {
		return err
	}
	skills := len(s.dev.Node.Learner().Skills())
	if err := s.serve(); err != nil {
		return err
	}
	var m mesh.Mesh
	if s.mesh != nil {
		m = s.mesh
	}
	s.dev.Start(m, s.told)
	s.ready(skills)
	err = s.live(ctx, source)
	switch cause := context.Cause(ctx); {
	case cause == nil || !errors.Is(err, cause) && !errors.Is(err, ctx.Err()):
	case s.exitAfter && !errors.Is(cause, context.DeadlineExceeded):
		return ctx.Err() // there was more to read
	default:
		return nil // asked to stop, and stopping is what it does
	}
	return err
}

// openRead opens what --read names.
func openRead(name string, stdin io.Reader) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(stdin), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("--read %s: %w: name another file", name, errors.Unwrap(err))
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("--read %s: it is a directory: name a file in it", name)
	case info.Mode().IsRegular() && info.Size() == 0:
		err = fmt.Errorf("--read %s: it is empty: name a file with something in it", name)
	default:
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}

// join meets the others.
func (s *session) join(ctx context.Context) (err error) {
	if s.offline {
		return nil
	}
	c := p2p.Config{
		Key: s.dev.Store.Key(), Listen: s.listen, Join: s.runFlags.join, Relays: s.relays, ServeRelay: s.serveRelay, Book: s.dev.Store.PeerBook(), LAN: s.lan, Log: s.log,
		Upload: int(s.upload), Download: int(s.download), Held: s.dev.Node.Conversation().Live(),
	}
	if b := bookIn(s.dev.Home); b.joined() || b.owned() { // half a swarm is an error, and not none
		c.Swarm = b
		if s.swarm, err = b.name(); err != nil {
			return err
		}
	}
	s.mesh, err = p2p.New(ctx, c)
	return err
}

// close ends what runs, in the order in which one needs the other. What was acknowledged is on the disk
// already.
func (s *session) close() error {
	var errs []error
	if s.api != nil {
		errs = append(errs, s.api.close())
	}
	if err := s.dev.Stop(); err != nil {
		s.log.Warn("nothing is lost, but the next start will take longer", "err", err)
	}
	if s.mesh != nil {
		errs = append(errs, s.mesh.Close())
	}
	errs = append(errs, s.dev.Store.Close())
	return errors.Join(errs...)
}

// told hears, on the node's goroutine, what became of a peer's skill.
func (s *session) told(f node.Fold) {
	s.foldGain.WithLabelValues(f.Verdict.String()).Observe(f.Gain)
	s.lastFold.Store(&foldReport{time.Now(), f.ID.String(), f.ID.Author, f.Skill, f.Verdict.String(), f.Gain, f.Reason, f.Merged})
	s.out.event(map[string]any{
		"event": "fold", "id": f.ID.String(), "skill": f.Skill, "verdict": f.Verdict.String(), "gain": f.Gain, "reason": f.Reason,
		"merged": f.Merged,
	})
	if !s.daemon() {
		s.out.note("%s", f)
	}
}

// ready says what the node is and where it can be met.
func (s *session) ready(skills int) {
	m := s.dev.Node.Learner().Base() // it never changes
	c := m.Config
	active := float64(c.Active) / float64(c.Sections)
	print := protocol.Digest(m.Fingerprint())
	id := s.dev.Node.Self()
	addrs := []string{}
	if s.mesh != nil {
		addrs = s.mesh.Addrs()
	}
	at := ""
	if s.api != nil {
		at = s.api.addr
	}
	s.out.event(map[string]any{
		"event": "ready", "version": ui.Version(), "id": id, "home": s.dev.Home, "share": s.share, "skills": skills,
		"model": print.String(), "parameters": m.Parameters(), "active_share": active, "addrs": addrs, "api": at, "swarm": s.swarm,
	})
	if s.daemon() {
		s.log.Info("ready", "version", ui.Version(), "id", id, "home", s.dev.Home, "model", print, "skills", skills,
			"share", s.share, "addrs", addrs, "api", at, "swarm", s.swarm)
		return
	}
	s.out.note("yan-node %s", ui.Version())
	s.out.note("base model %s: %s parameters, about %s of its sections computed for a byte; skills: %d",
		print, ui.Count(int64(m.Parameters())), percent(active), skills)
	s.out.note("home %s, shares %s", s.dev.Home, map[string]string{
		"none": "nothing but what was shared with skill share", "skills": "the skills it was taught by name", "all": "all it learns",
	}[s.share])
	if s.swarm != "" {
		s.out.note("in %s: it talks with the devices of that swarm alone", s.swarm)
	}
	for _, a := range addrs {
		s.out.note("listening: --join %s", a)
	}
	if s.mesh == nil {
		s.out.note("offline: it meets nobody")
	}
}

// live is what the owner came for.
func (s *session) live(ctx context.Context, source io.Reader) error {
	// A run that was killed may have left its focus, and what follows is not of that context.
	if err := s.focus(ctx, s.skill); err != nil {
		return err
	}
	if err := s.dev.Do(ctx, func(now time.Time, n *node.Node) (node.Actions, error) { return n.Publish(now), nil }); err != nil {
		return err
	}
	if source != nil {
		err := s.readAll(ctx, source)
		if err != nil || s.exitAfter {
			return err
		}
		if s.skill != "" {
			if err := s.focus(ctx, ""); err != nil {
				return err
			}
		}
	}
	if s.input == silent || s.read == "-" {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return s.converse(ctx)
}

func (s *session) focus(ctx context.Context, name string) error {
	return s.dev.Do(ctx, func(now time.Time, n *node.Node) (node.Actions, error) { return n.Focus(now, name) })
}

// A printer is stdout, shared by who speaks. With json set it prints one document a line there, and what
// people read goes to notes.
type printer struct {
	mu    sync.Mutex
	w     io.Writer
	json  bool
	notes io.Writer
	typed string // what stands at the beginning of the line that is being typed
}

// note prints a line for people.
func (p *printer) note(format string, a ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.w
	if p.json {
		w = p.notes
	}
	text := fmt.Sprintf(format, a...)
	if p.typed != "" {
		text = "\r" + text
	}
	fmt.Fprintf(w, "%s\n%s", text, p.typed)
}

// event prints one document for programs.
func (p *printer) event(v any) {
	if !p.json {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := json.NewEncoder(p.w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // to nobody, if nobody reads
}

// prompt invites to type, or stops doing so if it is empty.
func (p *printer) prompt(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.typed = text
	if text != "" {
		fmt.Fprint(p.w, text)
	}
}

// maxLine is how much of a line is taken in at once; a longer one is taken in pieces.
const maxLine = 64 << 10

// typedLines hands on lines with their ends, and closes the channel when there are no more. A reader that
// blocks for ever, as a terminal does, keeps the goroutine until the process ends.
func typedLines(ctx context.Context, in io.Reader) <-chan []byte {
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		r := bufio.NewReaderSize(in, maxLine)
		for {
			b, err := r.ReadSlice('\n')
			if len(b) > 0 {
				select {
				case lines <- append([]byte(nil), b...):
				case <-ctx.Done():
					return
				}
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
		}
	}()
	return lines
}

// converse takes in what is typed, a line at a time, and goes on from it.
func (s *session) converse(ctx context.Context) error {
	if s.input == terminal && !s.json {
		s.out.note("Type a line: the node learns it and goes on from there. End one with ... to have it completed instead.")
		s.out.prompt("> ")
		defer s.out.note("")
		defer s.out.prompt("")
	}
	by := newSampler(temperature, s.seed)
	lines := typedLines(ctx, s.in)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			if err := s.take(ctx, line, by); err != nil {
				return err
			}
		}
	}
}

// take takes in one line. What cannot be kept is said and not learnt, and the conversation goes on.
func (s *session) take(ctx context.Context, line []byte, by *sampler) error {
	text := strings.TrimRight(string(line), "\r\n")
	if begun, ask := strings.CutSuffix(text, "..."); ask && begun != "" {
		return s.answer(ctx, "completion", []byte(begun), begun, by)
	}
	var nats float64
	whole := len(text) < len(line) || len(line) < maxLine
	event := []byte(text)
	if whole {
		event = append(event, '\n')
	}
	err := s.dev.Do(ctx, func(now time.Time, n *node.Node) (node.Actions, error) {
		var a node.Actions
		nats, a = n.Observe(now, event)
		if whole {
			a.Add(n.Flush(now))
		}
		return a, nil
	})
	switch {
	case errors.Is(err, node.ErrStopped), ctx.Err() != nil:
		return err
	case err != nil:
		s.out.event(map[string]any{"event": "refused", "text": text, "error": err.Error()})
		fmt.Fprintf(s.errs, "yan-node: not kept: %v\n", err)
	default:
		s.out.event(map[string]any{"event": "learnt", "text": text, "bits_per_byte": bits(nats, len(event))})
	}
	if !whole {
		return nil
	}
	return s.answer(ctx, "continuation", nil, "", by)
}

// answer says how the node goes on from its stream and text.
func (s *session) answer(ctx context.Context, kind string, text []byte, begun string, by *sampler) error {
	var said string
	if err := s.dev.Do(ctx, func(_ time.Time, n *node.Node) (node.Actions, error) {
		said = goOn(n.Learner(), text, by)
		return node.Actions{}, nil
	}); err != nil {
		return err
	}
	s.out.event(map[string]any{"event": kind, "begun": begun, "text": said})
	if !s.json {
		s.out.note("%s", printable([]byte(begun))+said)
	}
	return nil
}
