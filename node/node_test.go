package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/mesh"
	"github.com/yanmesh/yan/mesh/meshtest"
	"github.com/yanmesh/yan/mesh/patch"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/base"
	"github.com/yanmesh/yan/protocol"
)

// errFull is what a disk without room says.
var errFull = errors.New("the disk is full")

// A disk is a Journal in memory that outlives its nodes, and can be full.
type disk struct {
	full     bool
	snapshot []byte
	records  [][]byte
	blobs    map[[32]byte][]byte
}

func (d *disk) Append(records [][]byte) error {
	if d.full {
		return errFull
	}
	for _, r := range records {
		d.records = append(d.records, bytes.Clone(r))
	}
	return nil
}

func (d *disk) Snapshot(write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	if d.full {
		return errFull
	}
	d.snapshot, d.records = b.Bytes(), nil
	return nil
}

func (d *disk) PutBlob(b []byte) ([32]byte, error) {
	if d.full {
		return [32]byte{}, errFull
	}
	if d.blobs == nil {
		d.blobs = map[[32]byte][]byte{}
	}
	k := protocol.Sum(b)
	d.blobs[k] = bytes.Clone(b)
	return k, nil
}

func (d *disk) Blob(k [32]byte) ([]byte, error) {
	if b, ok := d.blobs[k]; ok {
		return b, nil
	}
	return nil, errors.New("no such blob")
}

func (d *disk) Blobs() (ks [][32]byte, _ error) {
	for k := range maps.Keys(d.blobs) {
		ks = append(ks, k)
	}
	return ks, nil
}

// DropBlob keeps the body, as a store does that still has records which may name it.
func (d *disk) DropBlob([32]byte) error { return nil }

// keep does what Run does with what a node wants kept.
func (d *disk) keep(t *testing.T, a Actions) {
	t.Helper()
	for _, b := range a.Bodies {
		if _, err := d.PutBlob(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Append(a.Records); err != nil {
		t.Fatal(err)
	}
}

// start is a node at the beginning, or where the disk says it stood.
func start(t *testing.T, i int, c Config, d *disk) *Node {
	t.Helper()
	return startOn(t, i, c, d, base.Pocket())
}

func startOn(t *testing.T, i int, c Config, d *disk, m *model.Model) *Node {
	t.Helper()
	c.Key, c.Seed, c.Agent = meshtest.Key(i), uint64(i), "test"
	c.Learning.Infancy = 512
	n, err := New(c, m)
	if err != nil {
		t.Fatal(err)
	}
	if d == nil {
		return n
	}
	if err := Start(n, d, d.snapshot, func(apply func([]byte) error) error {
		for _, r := range d.records {
			if err := apply(r); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func mind(t *testing.T, n *Node) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := n.Learner().WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// noon is when these stories begin.
var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// text is n bytes in the manner of one speaker: manners differ in their words, and seeds in what is said.
func text(manner string, n int, seed uint64) []byte {
	words := map[string][]string{
		"kitchen": {"stir the", "peel two", "boil six", "salt the", "onions", "carrots", "noodles", "gently", "until brown", "and serve", "with butter"},
		"music":   {"play some", "queue up", "turn down", "the newest", "jazz", "album by", "guitar solo", "on repeat", "in the den", "please", "louder"},
		"diary":   {"dear diary", "today I met", "my doctor", "said that", "nobody knows", "my secret", "pin is 4711", "and I wept", "all night", "alone", "again"},
	}[manner]
	r := rand.New(rand.NewPCG(seed, 7))
	var b []byte
	for len(b) < n {
		for k := range 4 + r.IntN(3) {
			if k > 0 {
				b = append(b, ' ')
			}
			b = append(b, words[r.IntN(len(words))]...)
		}
		b = append(b, '\n')
	}
	return b[:n]
}

// taught is an author's update of a skill, taught from a text.
func taught(t *testing.T, author int, skill string, from []byte) *protocol.Update {
	t.Helper()
	n := start(t, author, Config{}, nil)
	do(t)(n.Focus(noon, skill))
	n.Observe(noon, from)
	do(t)(n.Focus(noon, ""))
	a := do(t)(n.SetShared(noon, skill, true))
	us := updates(a.Send)
	if len(us) != 1 {
		t.Fatalf("%d updates announced, want 1", len(us))
	}
	return us[0]
}

func do(t *testing.T) func(Actions, error) Actions {
	return func(a Actions, err error) Actions {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

func updates(sent []protocol.Envelope) (us []*protocol.Update) {
	for _, e := range sent {
		if u, ok := e.Msg.(*protocol.Update); ok {
			us = append(us, u)
		}
	}
	return us
}

// meet has a peer join that says it has the same model.
func meet(n *Node, peer int) (a Actions) {
	a.Add(n.Handle(noon, mesh.Event{Kind: mesh.Joined, Peer: meshtest.ID(peer)}))
	a.Add(hear(n, peer, &protocol.Hello{Version: protocol.Version, Model: protocol.Digest(n.Learner().Fingerprint()), Agent: "test"}))
	return a
}

func hear(n *Node, peer int, m protocol.Message) Actions {
	return n.Handle(noon, mesh.Event{Kind: mesh.Heard, Peer: meshtest.ID(peer), Msg: m})
}

// resigned is an author's update with another body, signed as it should be.
func resigned(author int, u *protocol.Update, seq uint64, body []byte) *protocol.Update {
	f := &protocol.Update{Announce: u.Announce, Body: body}
	f.ID = protocol.UpdateID{Author: meshtest.ID(author), Seq: seq}
	f.Digest, f.Size = protocol.Sum(body), uint32(len(body))
	f.Sign(meshtest.Key(author))
	return f
}

// A mind that was replayed is the mind that lived, to the bit, wherever the journal was cut by a snapshot.
// What peers sent is part of it, and so is what announcing did.
func TestReplayIsTheSameMind(t *testing.T) {
	foreign := []*protocol.Update{
		taught(t, 1, "music", text("music", 1500, 1)),
		taught(t, 2, "cooking", text("kitchen", 1500, 2)),
	}
	foreign = append(foreign, resigned(2, foreign[1], 2, []byte("no skill at all")))
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 0))
		c := Config{Share: []Share{ShareNone, ShareSkills, ShareAll}[seed%3], PublishEvery: 256}
		var d disk
		n := start(t, 0, c, &d)
		d.keep(t, meet(n, 1))
		d.keep(t, meet(n, 2))
		folds := 0
		for step := range 40 {
			var a Actions
			switch k := r.IntN(12); {
			case step == 10 || step == 20 || step == 30:
				a = hear(n, 1, foreign[step/10-1])
				folds += len(a.Folds)
			case k < 5:
				_, a = n.Observe(noon, text([]string{"kitchen", "music", "diary"}[r.IntN(3)], 20+r.IntN(300), r.Uint64()))
			case k < 7:
				a = n.Flush(noon)
			case k < 9:
				a = do(t)(n.Focus(noon, []string{"", "kitchen", "own"}[r.IntN(3)]))
			case k == 9:
				_, a = n.Settled()
			case k == 10 && n.Learner().Skill("", "kitchen") != nil:
				if r.IntN(4) == 0 {
					a = do(t)(n.Focus(noon, ""))
					a.Add(do(t)(n.Forget(noon, "", "kitchen")))
				} else {
					a = do(t)(n.Measured("kitchen", r.Float64()))
					a.Add(do(t)(n.SetShared(noon, "kitchen", r.IntN(2) == 0)))
				}
			default:
				if err := snapshot(n, &d); err != nil {
					t.Fatal(err)
				}
			}
			d.keep(t, a)
			if step%10 != 9 {
				continue
			}
			again := start(t, 0, c, &d)
			if !bytes.Equal(mind(t, again), mind(t, n)) {
				t.Fatalf("seed %d, after step %d: the mind that was replayed is another", seed, step)
			}
			if got, want := fmt.Sprint(again.exchange.Held(), again.exchange.Ledger()), fmt.Sprint(n.exchange.Held(), n.exchange.Ledger()); got != want {
				t.Fatalf("seed %d, after step %d: the conversation stands at %s, want %s", seed, step, got, want)
			}
		}
		if folds != 3 {
			t.Errorf("seed %d: %d skills tried, want 3", seed, folds)
		}
		if len(d.records) == 0 && d.snapshot == nil {
			t.Error("nothing was written")
		}
	}
}

// A node that went on from a replay learns what the one that lived on learns.
func TestReplayGoesOn(t *testing.T) {
	var d disk
	n := start(t, 0, Config{}, &d)
	_, a := n.Observe(noon, text("diary", 777, 1))
	d.keep(t, a)
	again := start(t, 0, Config{}, &d)
	n.Observe(noon, text("diary", 999, 2))
	again.Observe(noon, text("diary", 999, 2))
	if !bytes.Equal(mind(t, again), mind(t, n)) {
		t.Error("they part after the replay")
	}
}

func TestReplayRefusesNonsense(t *testing.T) {
	n := start(t, 0, Config{}, nil)
	before := mind(t, n)
	for _, rec := range [][]byte{
		nil, {'?'}, {'E'}, {'E', 5, 'a'}, {'E', 1, 'a', 'b'}, {'F', 1}, {'K', 1, 'a', 1, 'b'}, {'W', 1, 'a', 1, 'b'}, {'G', 0},
		{'E', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		if err := n.Replay(rec, nil); !errors.Is(err, errRecord) {
			t.Errorf("%q: %v", rec, err)
		}
	}
	if !bytes.Equal(mind(t, n), before) {
		t.Error("nonsense changed the mind")
	}
}

// Nothing leaves a node but the sections of skills that its owner shares. A peer asks for everything that
// it hears of, and for whatever else there might be.
func TestNothingButSharedSkillsLeaves(t *testing.T) {
	for _, tt := range []struct {
		share  Share
		single bool // one skill is shared by its name
		want   string
	}{
		{ShareNone, false, ""},
		{ShareNone, true, "kitchen"},
		{ShareSkills, false, "kitchen,music"},
		{ShareAll, false, "kitchen,memory,music"},
	} {
		t.Run(fmt.Sprint(tt.share, tt.single), func(t *testing.T) {
			n := start(t, 0, Config{Share: tt.share, PublishEvery: 512}, nil)
			var sent []protocol.Envelope
			var said [][]byte
			tell := func(skill, manner string) {
				sent = append(sent, do(t)(n.Focus(noon, skill)).Send...)
				for i := range 4 {
					b := text(manner, 400, uint64(i))
					said = append(said, b)
					_, a := n.Observe(noon, b)
					sent = append(sent, a.Send...)
					sent = append(sent, n.Flush(noon).Send...)
				}
			}
			sent = append(sent, meet(n, 1).Send...)
			tell("", "diary")
			tell("kitchen", "kitchen")
			tell("music", "music")
			tell("", "diary")
			if tt.single {
				sent = append(sent, do(t)(n.SetShared(noon, "kitchen", true)).Send...)
			}
			sent = append(sent, n.Publish(noon).Send...)
			sent = append(sent, n.Tick(noon.Add(time.Hour)).Send...)
			sent = append(sent, meet(n, 2).Send...)
			var ids []protocol.UpdateID
			for seq := range uint64(64) {
				ids = append(ids, protocol.UpdateID{Author: n.Self(), Seq: seq + 1})
			}
			sent = append(sent, hear(n, 2, &protocol.Want{IDs: ids}).Send...)

			skills := map[string]bool{}
			for _, u := range updates(sent) {
				skills[u.Skill] = true
				d, err := learning.DecodeDelta(u.Body, n.Learner().Base().Config, n.Learner().Fingerprint())
				if err != nil || d.Name != u.Skill {
					t.Errorf("update of %s holds %v (%v)", u.Skill, d, err)
				}
			}
			if got := strings.Join(slices.Sorted(maps.Keys(skills)), ","); got != tt.want {
				t.Errorf("skills %q left, want %q", got, tt.want)
			}
			if len(sent) == 0 {
				t.Fatal("nothing was said at all")
			}
			secret := map[[16]byte]bool{}
			for _, s := range said {
				for part := range slices.Chunk(s, 16) {
					if len(part) == 16 {
						secret[[16]byte(part)] = true
					}
				}
			}
			for _, e := range sent {
				b, err := protocol.Encode(e.Msg)
				if err != nil {
					t.Fatal(err)
				}
				for at := range max(len(b)-15, 0) {
					if secret[[16]byte(b[at:])] {
						t.Fatalf("%v holds %q", e.Msg, b[at:at+16])
					}
				}
			}
			if len(secret) < 200 {
				t.Errorf("only %d pieces of text were looked for", len(secret))
			}
		})
	}
}

// What was shared once is not given any more when the owner takes it back.
func TestUnsharedIsNotGiven(t *testing.T) {
	n := start(t, 0, Config{}, nil)
	meet(n, 1)
	do(t)(n.Focus(noon, "kitchen"))
	n.Observe(noon, text("kitchen", 600, 1))
	do(t)(n.Focus(noon, ""))
	u := updates(do(t)(n.SetShared(noon, "kitchen", true)).Send)
	want := &protocol.Want{IDs: []protocol.UpdateID{u[0].ID}}
	if len(updates(hear(n, 1, want).Send)) != 1 {
		t.Fatal("a shared skill is not given")
	}
	do(t)(n.SetShared(noon, "kitchen", false))
	if got := updates(hear(n, 1, want).Send); len(got) > 0 {
		t.Errorf("given all the same: %v", got)
	}
	if got := updates(n.Publish(noon).Send); len(got) > 0 {
		t.Errorf("announced all the same: %v", got)
	}
}

// A new version differs from the one before in few bytes, also after a restart.
func TestVersionsDifferLittle(t *testing.T) {
	var d disk
	n := start(t, 0, Config{Share: ShareSkills}, &d)
	var last []byte
	for v := range uint64(4) {
		d.keep(t, do(t)(n.Focus(noon, "kitchen")))
		_, a := n.Observe(noon, text("kitchen", 600, v))
		d.keep(t, a)
		a = do(t)(n.Focus(noon, ""))
		d.keep(t, a)
		us := updates(a.Send)
		if len(us) != 1 {
			t.Fatalf("%d updates announced, want 1", len(us))
		}
		body := us[0].Body
		if v > 0 {
			d, err := n.Learner().Export("kitchen")
			if err != nil {
				t.Fatal(err)
			}
			alone, err := d.Pack(base.Pocket().Config, learning.Packing{Plain: true}, nil)
			if err != nil {
				t.Fatal(err)
			}
			near, free, far := patch.Size(body, last), patch.Size(alone, last), patch.Size(body, nil)
			t.Logf("version %d: %d bytes, %d to those who have the one before; %d if it did not keep to that", v+1, far, near, free)
			if near > far*3/4 || near > free*98/100 {
				t.Errorf("version %d: %d bytes, %d to those who have the one before; %d if it did not keep to that", v+1, far, near, free)
			}
		}
		last = body
		if v == 1 {
			n = start(t, 0, Config{Share: ShareSkills}, &d)
		}
	}
}

// A node that is started to share less than before gives no more than that.
func TestSharingLessAfterARestart(t *testing.T) {
	var d disk
	n := start(t, 0, Config{Share: ShareSkills}, &d)
	d.keep(t, do(t)(n.Focus(noon, "kitchen")))
	_, a := n.Observe(noon, text("kitchen", 600, 1))
	d.keep(t, a)
	a = do(t)(n.Focus(noon, ""))
	d.keep(t, a)
	us := updates(a.Send)
	if len(us) != 1 {
		t.Fatalf("%d updates announced, want 1", len(us))
	}
	for share, want := range map[Share]bool{ShareNone: false, ShareSkills: true} {
		n := start(t, 0, Config{Share: share}, &d)
		meet(n, 1)
		got := updates(n.Publish(noon).Send)
		got = append(got, updates(hear(n, 1, &protocol.Want{IDs: []protocol.UpdateID{us[0].ID}}).Send)...)
		if gives := len(got) > 0; gives != want {
			t.Errorf("with --share %s it gives %v", share, got)
		}
	}
}

// tensors is a body as it was before there were packed ones.
func tensors(t *testing.T, body []byte) []byte {
	t.Helper()
	m := base.Pocket()
	d, err := learning.DecodeDelta(body, m.Config, m.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Encode(m.Config)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bad are bodies that no decoder may take: what they are signed for does not help.
func bad(t *testing.T, r *rand.Rand, packed []byte) map[string][]byte {
	good := tensors(t, packed)
	noise := make([]byte, 5000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	nan := bytes.Clone(good)
	for i := len(nan) - 4000; i < len(nan); i++ {
		nan[i] = 0xff // as 16-bit numbers: NaN
	}
	huge := bytes.Clone(good)
	binary.LittleEndian.PutUint64(huge, 1<<60)
	return map[string][]byte{
		"noise": noise, "one byte": {0}, "cut": good[:len(good)/2], "longer": append(bytes.Clone(good), 0), "not numbers": nan, "header beyond": huge,
		"another base": bytes.Replace(good, []byte(`base\":\"`), []byte(`base\":\"0`), 1),
		"packed, cut":  packed[:len(packed)/2], "packed, longer": append(bytes.Clone(packed), 0),
		"packed, another base": bytes.Replace(packed, []byte(`"base":"`), []byte(`"base":"0`), 1),
	}
}

// A body that is no skill is refused, however well it is signed, and leaves no trace in the mind.
func TestGarbageIsRefused(t *testing.T) {
	good := taught(t, 1, "music", text("music", 800, 1))
	n := start(t, 0, Config{}, nil)
	meet(n, 1)
	n.Observe(noon, text("diary", 1000, 1))
	before := mind(t, n)
	seq := uint64(0)
	bodies := bad(t, rand.New(rand.NewPCG(1, 1)), good.Body)
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		seq++
		u := resigned(1, good, seq, bodies[name])
		a := hear(n, 1, u)
		if len(a.Folds) != 1 || a.Folds[0].Verdict != protocol.Refused || a.Folds[0].Reason == "" || a.Folds[0].ID != u.ID {
			t.Errorf("%s: %v", name, a.Folds)
		}
		answered := slices.ContainsFunc(a.Send, func(e protocol.Envelope) bool {
			an, ok := e.Msg.(*protocol.Answer)
			return ok && an.ID == u.ID && an.Verdict == protocol.Refused && e.To == meshtest.ID(1)
		})
		if !answered {
			t.Errorf("%s: its author was not told", name)
		}
	}
	if !bytes.Equal(mind(t, n), before) {
		t.Error("garbage changed the mind")
	}
	if a := hear(n, 1, resigned(1, good, seq+1, good.Body)); len(a.Folds) != 1 || a.Folds[0].Verdict != protocol.Folded {
		t.Errorf("the honest one: %v", a.Folds)
	}
}

// poison makes a skill loud and wrong, and leaves it well-formed: its section weights become ±8.
func poison(t *testing.T, body []byte) []byte {
	t.Helper()
	b := bytes.Clone(body)
	size := int(binary.LittleEndian.Uint64(b))
	var header map[string]json.RawMessage
	if err := json.Unmarshal(b[8:8+size], &header); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 3))
	done := false
	for name, raw := range header {
		if !strings.HasSuffix(name, ".sections") {
			continue
		}
		var at struct {
			Offsets [2]int `json:"data_offsets"`
		}
		if err := json.Unmarshal(raw, &at); err != nil {
			t.Fatal(err)
		}
		for i := 8 + size + at.Offsets[0]; i < 8+size+at.Offsets[1]; i += 2 {
			binary.LittleEndian.PutUint16(b[i:], 0x4100|uint16(r.IntN(2))<<15)
			done = true
		}
	}
	if !done {
		t.Fatal("there was nothing to poison")
	}
	return b
}

// A skill that makes the owner's own recent events more surprising is undone; its author hears of it, and
// who only harms is not listened to any more.
func TestHarmIsUndone(t *testing.T) {
	good := taught(t, 1, "kitchen", text("kitchen", 3000, 1))
	n := start(t, 0, Config{}, nil)
	meet(n, 1)
	n.Observe(noon, text("kitchen", 3000, 2))
	n.Settled()
	before := mind(t, n)
	for seq := uint64(1); seq <= 3; seq++ {
		a := hear(n, 1, resigned(1, good, seq, poison(t, tensors(t, good.Body))))
		if len(a.Folds) != 1 || a.Folds[0].Verdict != protocol.Harmful || a.Folds[0].Gain >= 0 {
			t.Fatalf("poison %d: %v", seq, a.Folds)
		}
		if !strings.Contains(a.Folds[0].String(), "undid skill kitchen") {
			t.Errorf("the owner hears %q", a.Folds[0])
		}
	}
	if !bytes.Equal(mind(t, n), before) {
		t.Error("it left a trace")
	}
	if a := hear(n, 1, resigned(1, good, 4, good.Body)); len(a.Folds) > 0 {
		t.Errorf("listened to once more: %v", a.Folds)
	}
}

// running has a node run until the returned function is called.
func running(t *testing.T, n *Node, m mesh.Mesh, j Journal, told func(Fold)) (*Runner, func()) {
	r := NewRunner()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, n, m, j, r, nil, told) }()
	return r, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if m != nil {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// bits is how surprising a text is to a running node, in bits a byte.
func bits(t *testing.T, r *Runner, b []byte) (e float64) {
	t.Helper()
	if err := r.Do(context.Background(), func(_ time.Time, n *Node) (Actions, error) {
		m, a := n.Settled()
		e = learning.Evaluate(m, b, nil).Bits
		return a, nil
	}); err != nil {
		t.Fatal(err)
	}
	return e
}

func observe(r *Runner, skill string, b []byte) error {
	return r.Do(context.Background(), func(now time.Time, n *Node) (a Actions, err error) {
		if a, err = n.Focus(now, skill); err != nil {
			return a, err
		}
		_, o := n.Observe(now, b)
		a.Add(o)
		a.Add(n.Flush(now))
		f, err := n.Focus(now, "")
		a.Add(f)
		return a, err
	})
}

// What one node learns makes the other better, and what it reads otherwise does not travel.
func TestOneLearnsAndTheOtherIsBetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub meshtest.Hub
		var d0, d1 disk
		var folds []Fold
		r0, stop0 := running(t, start(t, 0, Config{Share: ShareSkills}, nil), hub.Join(meshtest.ID(0)), &d0, nil)
		r1, stop1 := running(t, start(t, 1, Config{}, nil), hub.Join(meshtest.ID(1)), &d1, func(f Fold) { folds = append(folds, f) })
		synctest.Wait()
		test := text("music", 1500, 99)
		before := bits(t, r1, test)
		if err := observe(r0, "", text("diary", 1500, 1)); err != nil {
			t.Fatal(err)
		}
		if err := observe(r0, "music", text("music", 6000, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // of the bubble
		synctest.Wait()
		after := bits(t, r1, test)
		if !(after < 0.8*before) {
			t.Errorf("music: %.3f -> %.3f bits a byte", before, after)
		}
		stop1()
		stop0()
		if len(folds) == 0 {
			t.Fatal("no skill came")
		}
		for _, f := range folds {
			if f.Skill != "music" || f.Verdict != protocol.Folded || f.ID.Author != meshtest.ID(0) {
				t.Errorf("%v", f)
			}
		}
		again := start(t, 1, Config{}, &d1)
		if s := again.Learner().Skill(string(meshtest.ID(0)), "music"); s == nil {
			t.Error("the skill was gone after a restart")
		}
	})
}

// A choosing mesh asks whether an update is wanted.
type choosing struct {
	mesh.Mesh
	wanted chan func(context.Context, protocol.Message) bool
}

func (c choosing) Choose(f func(context.Context, protocol.Message) bool) { c.wanted <- f }

// A running node says of any head whether its body is to be fetched, whoever asks; one that has ended wants nothing.
func TestWanted(t *testing.T) {
	kitchen, music := taught(t, 1, "kitchen", text("kitchen", 1500, 1)), taught(t, 2, "music", text("music", 1500, 1))
	synctest.Test(t, func(t *testing.T) {
		var hub meshtest.Hub
		var d disk
		c := choosing{hub.Join(meshtest.ID(0)), make(chan func(context.Context, protocol.Message) bool, 1)}
		cfg := Config{}
		cfg.Exchange.MaxLive = 1
		n := start(t, 0, cfg, nil)
		meet(n, 1)
		r, stop := running(t, n, c, &d, nil)
		wanted := <-c.wanted
		ask := func(u *protocol.Update, want bool) {
			t.Helper()
			var done sync.WaitGroup
			for range 8 {
				done.Go(func() {
					if got := wanted(context.Background(), &u.Announce); got != want {
						t.Errorf("%s: %v, want %v", u.Skill, got, want)
					}
				})
			}
			done.Wait()
		}
		ask(kitchen, true)
		ask(music, true)
		if err := r.Do(context.Background(), func(time.Time, *Node) (Actions, error) { return hear(n, 1, kitchen), nil }); err != nil {
			t.Fatal(err)
		}
		ask(kitchen, false) // it is here
		ask(music, false)   // there is no room
		foreign := *music
		foreign.Model[0]++
		ask(&foreign, true) // it is for others
		stop()
		ask(music, false)
	})
}

// other is the pocket base with one weight changed: another base.
func other(t *testing.T) *model.Model {
	t.Helper()
	m := base.Pocket().Thaw()
	m.Embed.F32[0]++
	return m
}

// Peers on different bases have nothing to exchange, and stay unharmed, also where one of them claims
// the other's base.
func TestAnotherBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub meshtest.Hub
		var d0, d1 disk
		tried := 0
		r0, stop0 := running(t, start(t, 0, Config{Share: ShareAll}, nil), hub.Join(meshtest.ID(0)), &d0, nil)
		n1 := startOn(t, 1, Config{}, nil, other(t))
		before := mind(t, n1)
		_, stop1 := running(t, n1, hub.Join(meshtest.ID(1)), &d1, func(Fold) { tried++ })
		if err := observe(r0, "music", text("music", 1000, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		var reason string
		if err := r0.Do(t.Context(), func(_ time.Time, n *Node) (Actions, error) {
			for _, p := range n.Conversation().Peers() {
				reason = p.Reason
			}
			return Actions{}, nil
		}); err != nil {
			t.Fatal(err)
		}
		stop1()
		stop0()
		if tried > 0 || !bytes.Equal(mind(t, n1), before) {
			t.Errorf("%d skills of another base were tried", tried)
		}
		if !strings.Contains(reason, "model") {
			t.Errorf("the peer is not exchanged with because %q", reason)
		}

		meet(n1, 2)
		u := taught(t, 2, "music", text("music", 600, 1))
		u.Model = protocol.Digest(n1.Learner().Fingerprint())
		a := hear(n1, 2, resigned(2, u, 1, u.Body))
		if len(a.Folds) != 1 || a.Folds[0].Verdict != protocol.Refused || !strings.Contains(a.Folds[0].Reason, "another base") {
			t.Errorf("%v", a.Folds)
		}
	})
}

// Where the disk is full, learning is refused, nothing is said to anyone, and thinking goes on; with room
// again, all that was learnt in between is kept.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hub meshtest.Hub
		var d disk
		n := start(t, 0, Config{Share: ShareSkills}, nil)
		r, stop := running(t, n, hub.Join(meshtest.ID(0)), &d, nil)
		listener := hub.Join(meshtest.ID(1))
		var said []mesh.Event // by the node; read after synctest.Wait
		go func() {
			for ev := range listener.Events() {
				said = append(said, ev)
			}
		}()
		if err := observe(r, "kitchen", text("kitchen", 300, 1)); err != nil {
			t.Fatal(err)
		}
		if got := len(d.records); got == 0 {
			t.Fatal("nothing was kept")
		}
		kept := len(d.records)

		synctest.Wait()
		d.full, said = true, nil
		err := observe(r, "music", text("music", 300, 1))
		if !errors.Is(err, errFull) || !strings.Contains(err.Error(), "nothing was kept") {
			t.Errorf("a full disk: %v", err)
		}
		if err := r.Do(t.Context(), func(_ time.Time, n *Node) (Actions, error) {
			if len(n.Learner().Predict()) == 0 {
				t.Error("it has stopped to think")
			}
			return Actions{}, nil
		}); err != nil {
			t.Errorf("a question: %v", err)
		}
		if len(d.records) != kept {
			t.Error("part of it was written")
		}
		time.Sleep(time.Minute) // of the bubble
		synctest.Wait()
		if len(said) > 0 {
			t.Errorf("said meanwhile: %v", said)
		}

		d.full = false
		if err := observe(r, "", text("diary", 300, 1)); err != nil {
			t.Errorf("with room again: %v", err)
		}
		if !bytes.Equal(mind(t, start(t, 0, Config{Share: ShareSkills}, &d)), mind(t, n)) {
			t.Error("what was learnt in between was lost")
		}
		time.Sleep(time.Minute) // of the bubble: ticks go on
		synctest.Wait()
		if len(said) == 0 {
			t.Error("it has not spoken since")
		}
		stop()
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Do gives up with its context and with the node.
func TestDoEnds(t *testing.T) {
	r := NewRunner()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Do(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody runs: %v", err)
	}
	r, stop := running(t, start(t, 0, Config{}, nil), nil, &disk{}, nil)
	wrong := errors.New("wrong")
	if err := r.Do(t.Context(), func(time.Time, *Node) (Actions, error) { return Actions{}, wrong }); !errors.Is(err, wrong) {
		t.Errorf("a job's error came back as %v", err)
	}
	stop()
	if err := r.Do(t.Context(), nil); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for what, c := range map[string]Config{
		"no key":      {},
		"share":       {Key: meshtest.Key(0), Share: "some"},
		"chunk":       {Key: meshtest.Key(0), Learning: learning.Config{Chunk: -1}},
		"short key":   {Key: meshtest.Key(0)[:5]},
		"rate beyond": {Key: meshtest.Key(0), Learning: learning.Config{Rate: 2}},
	} {
		if n, err := New(c, base.Pocket()); err == nil || n != nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
