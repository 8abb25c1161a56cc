package exchange

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/protocol"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// TestTranscripts plays the conversations of testdata. A line that begins with > is what came of the
// command above it: what was said, folded and dropped, and, after a dash, the time when it changed.
// Lines that begin with # are for the reader. The commands are:
//
//	NAME... here                       make machines
//	NAME here with another model       make one that has nothing to exchange with the others
//	A meets B                          each sees the other join; a name without a machine is a bystander
//	A leaves B                         each sees the other leave
//	A offers SKILL SIZE [GAIN]         an update of A's own
//	A withdraws SKILL
//	A judges ID VERDICT GAIN           A tried an update
//	A restarts [without its state]
//	X says to A: MESSAGE               a message from whomever; see parse
//	deliver                            all that is under way, and what comes of it
//	lose                               all that is under way
//	wait DURATION [losing everything]  time goes on, with everything delivered, or nothing
//	A status                           what A holds and knows
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
			for i := range max(len(g), len(w)) {
				if i >= len(g) || i >= len(w) || g[i] != w[i] {
					g, w := g[min(i, len(g)):min(i+3, len(g))], w[min(i, len(w)):min(i+3, len(w))]
					t.Fatalf("%s:%d differs from here on; run with -update and read the difference\ngot:  %q\nwant: %q",
						file, i+1, g, w)
				}
			}
		})
	}
}

func play(t *testing.T, script string) string {
	t.Helper()
	w := newWorld()
	var out strings.Builder
	for i, line := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
		if strings.HasPrefix(line, ">") {
			continue
		}
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := w.command(t, line); err != nil {
			t.Fatalf("line %d: %s: %v", i+1, line, err)
		}
		out.WriteString(w.log.String())
		w.log.Reset()
	}
	return out.String()
}

func (w *world) command(t *testing.T, line string) error {
	f := strings.Fields(line)
	switch {
	case strings.HasSuffix(line, " here with another model"):
		w.add(f[0], func(c *Config) { c.Model = another })
	case strings.HasSuffix(line, " here"):
		for _, name := range f[:len(f)-1] {
			w.add(name, nil)
		}
	case line == "deliver":
		for len(w.queue) > 0 {
			w.step(w.now)
		}
	case line == "lose":
		w.queue = nil
	case f[0] == "wait":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			return err
		}
		if len(f) > 2 {
			w.fate = func() []time.Duration { return nil }
		}
		w.run(d)
		w.fate = nil
	case len(f) >= 4 && f[1] == "says" && f[2] == "to":
		to := w.node(strings.TrimSuffix(f[3], ":"))
		_, text, _ := strings.Cut(line, ": ")
		m, err := parse(text)
		if err != nil {
			return err
		}
		w.do(to, to.m.Handle(w.now, mesh.Event{Kind: mesh.Heard, Peer: id(f[0]), Msg: m}))
	case len(f) >= 2 && f[1] == "meets":
		w.meet(f[0], f[2])
	case len(f) >= 2 && f[1] == "leaves":
		w.left(f[0], f[2])
		w.left(f[2], f[0])
	default:
		n := w.node(f[0])
		if n == nil || len(f) < 2 {
			return fmt.Errorf("no such command")
		}
		return w.nodeCommand(t, n, f[1:])
	}
	return nil
}

func (w *world) nodeCommand(t *testing.T, n *node, f []string) error {
	switch f[0] {
	case "offers":
		size, gain := number(f, 2), number(f, 3)
		w.offer(n.name, f[1], int(size), gain)
	case "withdraws":
		w.do(n, n.m.Withdraw(w.now, f[1]))
	case "judges":
		w.do(n, n.m.Judge(w.now, parseID(f[1]), verdicts[f[2]], number(f, 3)))
	case "restarts":
		if len(f) > 1 {
			n.start()
		} else {
			w.restart(t, n)
		}
	case "status":
		var held []string
		for _, id := range n.m.Held() {
			held = append(held, readable(id.String()))
		}
		w.printf("holds %v, next is %d", held, n.m.NextSeq())
		for _, p := range n.m.Peers() {
			w.printf("peer %s greeted=%v v%d same=%v messages=%d ignored=%d invalid=%d reason=%q", readable(string(p.ID)),
				p.Greeted, p.Version, p.SameModel, p.Messages, p.Ignored, p.Invalid, p.Reason)
		}
		for _, s := range n.m.Ledger() {
			w.printf("author %s folded=%d refused=%d harmful=%d gain=%d shunned=%v", readable(string(s.Author)),
				s.Folded, s.Refused, s.Harmful, s.Gain, s.Shunned)
		}
		for _, s := range n.m.Worth() {
			w.printf("own %s %s folded=%d refused=%d harmful=%d gain=%d", readable(s.ID.String()), s.Skill,
				s.Folded, s.Refused, s.Harmful, s.Gain)
		}
	default:
		return fmt.Errorf("no such command")
	}
	return nil
}

// parse reads a message:
//
//	hello [vN] [of another model]
//	have|want [ID...]
//	announce|update ID SKILL SIZE [replaces N] [forged|changed|of another model|of nothing|beyond belief]
//	answer ID VERDICT GAIN
func parse(text string) (protocol.Message, error) {
	f := strings.Fields(text)
	has := func(what string) bool { return strings.HasSuffix(text, what) }
	switch f[0] {
	case "hello":
		h := &protocol.Hello{Version: 1, Model: model, Agent: "test/1"}
		if len(f) > 1 && f[1][0] == 'v' {
			h.Version = uint16(number([]string{f[1][1:]}, 0))
		}
		if has("of another model") {
			h.Model = another
		}
		return h, nil
	case "have", "want":
		var ids []protocol.UpdateID
		for _, s := range strings.Fields(strings.Trim(strings.TrimPrefix(text, f[0]), " []")) {
			ids = append(ids, parseID(s))
		}
		if f[0] == "have" {
			return &protocol.Have{IDs: ids}, nil
		}
		return &protocol.Want{IDs: ids}, nil
	case "announce", "update":
		name, _, _ := strings.Cut(f[1], "/")
		u := makeUpdate(name, parseID(f[1]).Seq, f[2], int(number(f, 3)), 0)
		if len(f) > 5 && f[4] == "replaces" {
			u.Replaces = uint64(number(f, 5))
			u.Sign(key(name))
		}
		switch {
		case has("forged"):
			u.Gain++
		case has("changed"):
			u.Body[0]++
		case has("of another model"):
			u.Model = another
			u.Sign(key(name))
		case has("of nothing"):
			u.Sections = 0
			u.Sign(key(name))
		case has("beyond belief"):
			u.Gain = maxGain + 1
			u.Sign(key(name))
		}
		if f[0] == "announce" {
			return &u.Announce, nil
		}
		return u, nil
	case "answer":
		return &protocol.Answer{ID: parseID(f[1]), Verdict: verdicts[f[2]], Gain: number(f, 3)}, nil
	}
	return nil, fmt.Errorf("no such message")
}

var verdicts = map[string]protocol.Verdict{
	"folded": protocol.Folded, "refused": protocol.Refused, "harmful": protocol.Harmful,
}

func parseID(s string) protocol.UpdateID {
	name, seq, _ := strings.Cut(s, "/")
	return protocol.UpdateID{Author: id(name), Seq: uint64(number([]string{seq}, 0))}
}

// number returns field i as a number, or 0 if there is none.
func number(f []string, i int) int64 {
	if i >= len(f) {
		return 0
	}
	n, err := strconv.ParseInt(f[i], 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
