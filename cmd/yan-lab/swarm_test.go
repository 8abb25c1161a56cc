package main

import (
	"context"
	"encoding/json"
	"math"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/dataset"
	"github.com/yanmesh/yan/model/base"
)

func TestSwarmReportSaysWhatIsReached(t *testing.T) {
	r := swarmReport{Seeds: 2, Target: 0.9}
	r.sum([]path{
		{way: "a", stands: []footing{{1, 10, 0.5, 0.4, 0}, {2, 20, 0.95, 0.9, 0}, {3, 30, 0.93, 0.9, 0}}},
		{way: "b", stands: []footing{{9, 90, 0.2, 0.1, 0}}},
		{way: "a", stands: []footing{{1, 12, 0.5, 0.4, 0}, {2, 24, 0.6, 0.5, 0}}},
		{way: "b", stands: []footing{{9, 90, 0.4, 0.3, 0}}},
	})
	a, b := r.Rows[0], r.Rows[1]
	if a.Way != "a" || a.Reached != 1 || a.Until.Mean != 2 || a.Cost.Mean != 20 || a.Best.Max != 0.95 || a.Right.Min != 0.6 {
		t.Errorf("%+v", a)
	}
	if b.Reached != 0 || b.Until != nil || math.Abs(b.Right.Mean-0.3) > 1e-9 || b.Worst.Min != 0.1 {
		t.Errorf("%+v", b)
	}
}

// Devices with two digits each know all ten when every lesson has come round, as one to which all is shown does; averaged parameters
// come forward too, for the bytes of all of them in each exchange.
func TestSwarmOfDigits(t *testing.T) {
	slow(t)
	d, err := newDigits(dataset.Strokes(400, 1), dataset.Strokes(200, 2))
	if err != nil {
		t.Fatal(err)
	}
	o := swarmDigits{devices: 10, features: 128, rounds: 12, every: 6, asked: 2, rate: 0.1, ourRate: 0.1, target: 2}
	paths := map[string]path{}
	for _, w := range d.ways(o, 1) {
		if paths[w.name], err = w.run(w.name); err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
	}
	end := func(name string) footing { return paths[name].last() }
	alone, mesh, whole := end("nobody is heard, sums"), end("sums, each once, from device to device"), end("all in one place, sums")
	if mesh.least < whole.right-0.05 || mesh.right < alone.right+0.3 {
		t.Errorf("in the mesh %.3f, in one place %.3f, alone %.3f", mesh.right, whole.right, alone.right)
	}
	gossip := end("averaging by gossip, our features")
	if net := 4 * newPerceptron(d.encoded.width, 200, 200, 10).size(); gossip.sent != float64(12*net) || gossip.exchanges != 12 {
		t.Errorf("%v bytes in %d exchanges of %d bytes", gossip.sent, gossip.exchanges, net)
	}
	if mesh.sent == 0 || mesh.sent > gossip.sent/10 {
		t.Errorf("sums take %.0f bytes a device, averaging %.0f", mesh.sent, gossip.sent)
	}
	for _, name := range []string{"averaging by gossip, our features", "a server averages, our features", "all in one place, the net on our features", "a server averages, pixels"} {
		if p := paths[name]; p.last().right < 0.15 || p.best() <= 0.15 {
			t.Errorf("%s comes to %.3f", name, p.last().right)
		}
	}
	if server := paths["a server averages, pixels"]; server.last().right < server.stands[0].right+0.1 {
		t.Errorf("a server comes from %.3f to %.3f", server.stands[0].right, server.last().right)
	}
}

// smallTheatre is four people who write a few lines each.
func smallTheatre() *theatre {
	users := dataset.Personas(4, 1)
	for i := range users {
		users[i].Train, users[i].Test = users[i].Train[:700], users[i].Test[:200]
	}
	return &theatre{o: swarmText{exchanges: 2, passes: 1, tell: 2, sections: 4, window: 32, held: 200, asked: 1, rate: 0.001, skillRate: 0.003, step: 1},
		base: base.Pocket(), users: users, seed: 1, tell: func(string, footing) {}}
}

func TestTheatre(t *testing.T) {
	slow(t)
	s := smallTheatre()
	bits := map[string]float64{}
	for _, w := range s.ways() {
		p, err := w.run(context.Background(), w.name)
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		bits[w.name] = p.last().bits
		if p.last().exchanges > 1 && len(p.stands) != 2 {
			t.Errorf("%s: %+v", w.name, p.stands)
		}
	}
	before := bits["nobody has learnt"]
	for name, b := range bits {
		if name != "nobody has learnt" && !(b < before) {
			t.Errorf("%s: %.3f bits a byte, where the base has %.3f", name, b, before)
		}
	}
	for _, kind := range []string{"all weights", "one skill"} {
		if alone, gossip := bits["nobody is heard, "+kind], bits["averaging by gossip, "+kind]; gossip > alone {
			t.Errorf("%s: %.3f bits a byte together, %.3f alone", kind, gossip, alone)
		}
	}
}

// What a device knows of its steps is its own: one that learns after another learns as if it were the only one.
func TestMoversForgetNobody(t *testing.T) {
	s := smallTheatre()
	for _, make := range []func() (mover, error){
		func() (mover, error) { return newTuner(s.base, 0.001) },
		func() (mover, error) { return newSkillMover(s.base, 4, 0.003) },
	} {
		one, err := make()
		if err != nil {
			t.Fatal(err)
		}
		two, err := make()
		if err != nil {
			t.Fatal(err)
		}
		single, pair := s.cast(one)[0], s.cast(two)
		for range 2 {
			if err := single.learn(context.Background(), one, 1, 32); err != nil {
				t.Fatal(err)
			}
			for _, r := range pair[:2] {
				if err := r.learn(context.Background(), two, 1, 32); err != nil {
					t.Fatal(err)
				}
			}
		}
		moved := false
		for i, v := range single.x {
			if v != pair[0].x[i] {
				t.Fatalf("number %d is %v alone and %v beside another device", i, v, pair[0].x[i])
			}
			moved = moved || v != pair[1].x[i]
		}
		if !moved {
			t.Error("two devices with other texts came to the same")
		}
	}
}

func TestSwarmIsReported(t *testing.T) {
	slow(t)
	t.Setenv("YAN_DATA", t.TempDir()+"/none")
	status, out, errs := yanLab(t, "swarm", "roles", "--devices", "4", "--for", "2m", "--seeds", "1", "--only", "own", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r rolesReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	by := map[string]roleCell{}
	for _, c := range r.Cells {
		by[c.Way] = c
	}
	if len(r.Rows) != 16 || len(by) != 4 || by[aloneRole].Own.Mean >= by[untaughtRole].Own.Mean || by[inMesh].Sent == nil || by[inMesh].Everyone.Mean >= by[untaughtRole].Everyone.Mean {
		t.Errorf("%d rows: %+v", len(r.Rows), r.Cells)
	}
	for _, args := range [][]string{{"swarm", "digits", "--devices", "1"}, {"swarm", "shakespeare", "--tell", "0"}, {"swarm", "roles", "--devices", "1"}, {"swarm", "roles", "--only", "nobody"}} {
		if status, _, _ := yanLab(t, args...); status == 0 {
			t.Errorf("%v: no error", args)
		}
	}
}

// The lesson of one device reaches nine tenths of the others later than half, and of more devices not sooner than of few.
func TestSwarmTeacher(t *testing.T) {
	status, out, errs := yanLab(t, "swarm", "teacher", "--devices", "5,40", "--seeds", "1", "--for", "2m", "--plot", t.TempDir()+"/plot.png", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var r teacherReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	few, many := r.Rows[0], r.Rows[1]
	if few.Half.Mean <= 0 || few.Half.Mean > few.Most.Mean || many.Half.Mean <= few.Half.Mean || many.Sent.Mean <= 0 || r.LogHalf.Slope <= 0 {
		t.Errorf("%+v, %+v", few, many)
	}
}

func TestCurvesAreFitted(t *testing.T) {
	sizes := []float64{10, 100, 1000, 10000}
	var logs, powers []float64
	for _, n := range sizes {
		logs, powers = append(logs, 3*math.Log2(n)-1), append(powers, 2*math.Pow(n, 0.3))
	}
	if f := logarithm(sizes, logs); math.Abs(f.Slope-3) > 1e-9 || math.Abs(f.Offset+1) > 1e-9 || f.Residual > 1e-9 {
		t.Errorf("%+v", f)
	}
	if f := power(sizes, powers); math.Abs(f.Slope-0.3) > 1e-9 || math.Abs(f.Offset-2) > 1e-9 || f.Residual > 1e-9 {
		t.Errorf("%+v", f)
	}
	if log, pow := logarithm(sizes, powers), power(sizes, powers); log.Residual <= pow.Residual {
		t.Errorf("a power is a logarithm: off by %v and by %v", log.Residual, pow.Residual)
	}
}

// Divided, a text is gone over whole and in order, and from the beginning again.
func TestTextIsDivided(t *testing.T) {
	s := smallTheatre()
	s.o.once, s.o.exchanges, s.o.most = true, 3, 500
	m, err := newSkillMover(s.base, 1, 0.001)
	if err != nil {
		t.Fatal(err)
	}
	r := s.cast(m)[0]
	var said []byte
	for range 4 {
		for _, e := range r.turn() {
			said = append(said, e.Byte)
		}
	}
	want := string(s.users[0].Train[:500]) + string(s.users[0].Train[:166])
	if string(said) != want {
		t.Errorf("%d bytes are gone over, of %d", len(said), len(want))
	}
}
