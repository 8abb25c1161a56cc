package exchange

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/protocol"
)

// pair is two machines that met and hold nothing.
func pair() *world {
	w := newWorld()
	w.add("a", nil)
	w.add("b", nil)
	w.meet("a", "b")
	w.run(0)
	return w
}

// What one says is what the other hears, and every verdict is counted with what it was worth.
func TestCounts(t *testing.T) {
	w := pair()
	a, b := w.node("a"), w.node("b")
	w.offer("a", "music", 100, 5)
	w.offer("a", "maps", 60, 5)
	w.run(0)
	if l := b.m.Load(); l.Updates != 2 || l.Bytes != 160 || l.Wanted != 0 {
		t.Errorf("b holds %+v", l)
	}
	w.do(b, b.m.Judge(w.now, protocol.UpdateID{Author: id("a"), Seq: 1}, protocol.Folded, 70))
	w.do(b, b.m.Judge(w.now, protocol.UpdateID{Author: id("a"), Seq: 2}, protocol.Harmful, -30))
	w.do(b, b.m.Judge(w.now, protocol.UpdateID{Author: id("a"), Seq: 2}, protocol.Harmful, -30)) // a second verdict is none
	w.run(time.Minute)
	ca, cb := a.m.Counts(), b.m.Counts()
	if ca.Said != cb.Heard || cb.Said != ca.Heard {
		t.Errorf("a: %+v\nb: %+v", ca, cb)
	}
	if ca.Said[protocol.KindUpdate] != 2 || cb.Said[protocol.KindAnswer] != 2 || ca.Said[protocol.KindHello] == 0 {
		t.Errorf("a said %v, b %v", ca.Said, cb.Said)
	}
	if cb.Judged[protocol.Folded] != 1 || cb.Judged[protocol.Harmful] != 1 || cb.Gain[protocol.Folded] != 70 || cb.Gain[protocol.Harmful] != -30 {
		t.Errorf("verdicts %v, gains %v", cb.Judged, cb.Gain)
	}

	forged := makeUpdate("a", 9, "birds", 50, 1)
	forged.Sig[3]++
	w.send(a, b, forged)
	for range messagesPerInterval + 1 {
		w.send(a, b, &protocol.Have{})
	}
	w.run(0)
	if c := b.m.Counts(); c.Invalid != 1 || c.Ignored == 0 || c.Ignored != b.m.Peers()[0].Ignored {
		t.Errorf("%d invalid, %d ignored", c.Invalid, c.Ignored)
	}
}

// Of every author the newest update held counts, and those that are let go do not.
func TestNewest(t *testing.T) {
	w := pair()
	b := w.node("b")
	made := func(author, skill string, seq uint64, at int64) {
		u := makeUpdate(author, seq, skill, 40, 1)
		u.Made = at
		u.Sign(key(author))
		w.send(w.node("a"), b, u)
		w.run(0)
	}
	made("x", "music", 1, 100)
	made("x", "maps", 2, 300)
	made("y", "music", 1, 200)
	want := []Newest{{id("x"), 2, 300}, {id("y"), 1, 200}}
	slices.SortFunc(want, func(a, b Newest) int { return strings.Compare(string(a.Author), string(b.Author)) })
	if got := b.m.Newest(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := w.node("a").m.Newest(); len(got) != 0 {
		t.Errorf("a holds %v", got)
	}
}

// A journal keeps what is logged.
type journal struct{ records []slog.Record }

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.records = append(j.records, r)
	return nil
}

// Every line says which peer or which update it is about, by names that can be looked for.
func TestEveryLineNamesWhoOrWhat(t *testing.T) {
	j := new(journal)
	w := newWorld()
	w.add("a", func(c *Config) { c.Log = slog.New(j) })
	w.add("b", func(c *Config) { c.Log = slog.New(j) })
	w.add("o", func(c *Config) { c.Model, c.Log = another, slog.New(j) })
	w.offer("a", "music", 100, 5)
	w.meet("a", "b")
	w.meet("a", "o")
	w.run(time.Minute)
	b := w.node("b")
	w.do(b, b.m.Judge(w.now, protocol.UpdateID{Author: id("a"), Seq: 1}, protocol.Folded, 70))
	w.run(0)
	for i := range harmsToShun {
		w.offer("a", "music", 100+i, 5)
		w.run(0)
		w.do(b, b.m.Judge(w.now, protocol.UpdateID{Author: id("a"), Seq: uint64(i) + 2}, protocol.Harmful, -70))
	}
	forged := makeUpdate("x", 9, "birds", 50, 1)
	forged.Sig[3]++
	w.send(w.node("a"), b, forged)
	w.run(0)
	w.left("a", "b")
	said := map[string]bool{}
	for _, r := range j.records {
		said[r.Message] = true
		named := false
		r.Attrs(func(at slog.Attr) bool {
			switch at.Key {
			case "peer":
				p, ok := at.Value.Any().(protocol.PeerID)
				_, err := p.Key()
				named = named || ok && err == nil
			case "update":
				_, ok := at.Value.Any().(protocol.UpdateID)
				named = named || ok
			}
			return true
		})
		if !named {
			t.Errorf("%q names nobody and nothing", r.Message)
		}
	}
	for _, line := range []string{"peer joined", "peer left", "offer", "want", "serve", "judge", "answer", "forged update",
		"nothing to exchange with a peer", "an author only harms, and is not asked any more"} {
		if !said[line] {
			t.Errorf("it was not said: %q, but %v", line, said)
		}
	}
}
