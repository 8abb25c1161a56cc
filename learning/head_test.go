package learning

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model/kernel"
)

// blobs are examples of classes that lie about centres of their own.
func blobs(r *rand.Rand, n, dim, classes int) (x []float32, labels []string) {
	centres := make([]float32, classes*dim)
	for i := range centres {
		centres[i] = float32(r.Float64()*1.4 - 0.7)
	}
	for range n {
		c := r.IntN(classes)
		labels = append(labels, fmt.Sprint(c))
		for j := range dim {
			x = append(x, centres[c*dim+j]+float32(r.NormFloat64()*0.25))
		}
	}
	return x, labels
}

func answers(t *testing.T, h *Head, x []float32, labels []string) (share float64) {
	t.Helper()
	r, err := h.Solve()
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range r.Answer(x) {
		if a == labels[i] {
			share += 1 / float64(len(labels))
		}
	}
	return share
}

// What a head knows depends on what it was shown and on nothing else: not on the order, nor on the sizes of
// batches, nor on which of several heads saw what, nor on the order in which they were added, nor on what
// was added and taken back on the way. Equal to the bit, read-out included.
func TestHeadOrderCannotMatter(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		dim, n := 1+r.IntN(40), 1+r.IntN(1500)
		cfg := HeadConfig{Inputs: dim, Features: 1 + r.IntN(150), Seed: seed}
		x, labels := blobs(r, n, dim, 1+r.IntN(6))
		joint := NewHead(cfg)
		joint.Learn(x, labels)

		order := r.Perm(n)
		if seed%2 == 0 { // a class at a time
			slices.SortStableFunc(order, func(a, b int) int { return int(labels[b][0]) - int(labels[a][0]) })
		}
		nodes := make([]*Head, 1+r.IntN(4))
		for i := range nodes {
			nodes[i] = NewHead(cfg)
		}
		var foreign []float32
		var names []string
		for range r.IntN(50) {
			names = append(names, "foreign")
			for range dim {
				foreign = append(foreign, float32(r.NormFloat64()))
			}
		}
		guest := nodes[r.IntN(len(nodes))]
		guest.Learn(foreign, names)
		for len(order) > 0 {
			k := 1 + r.IntN(min(len(order), 1+int(seed)*40))
			var part []float32
			var called []string
			for _, i := range order[:k] {
				part, called = append(part, x[i*dim:(i+1)*dim]...), append(called, labels[i])
			}
			nodes[r.IntN(len(nodes))].Learn(part, called)
			order = order[k:]
		}
		all := NewHead(cfg)
		for _, i := range r.Perm(len(nodes)) {
			if err := all.Add(nodes[i]); err != nil {
				t.Fatal(err)
			}
		}
		if len(names) > 0 && all.Equal(joint) {
			t.Fatalf("seed %d: %d more examples make no difference", seed, len(names))
		}
		all.Forget(foreign, names)
		if !all.Equal(joint) || !joint.Equal(all) {
			t.Fatalf("seed %d: in another order, in %d heads, it is not the same", seed, len(nodes))
		}
		a, err := joint.Solve()
		if err != nil {
			t.Fatal(err)
		}
		b, err := all.Solve()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.weights, b.weights) || !slices.Equal(a.Classes(), b.Classes()) {
			t.Fatalf("seed %d: equal sums are solved to another read-out", seed)
		}
		// Take a whole node back, and the rest is as if it had never been.
		less, rest := NewHead(cfg), NewHead(cfg)
		for i, node := range nodes {
			if err := less.Add(node); err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				if err := rest.Add(node); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := less.Subtract(nodes[0]); err != nil || !less.Equal(rest) {
			t.Fatalf("seed %d: a node taken back leaves a trace, %v", seed, err)
		}
	}
}

// The sums are what they are said to be: whole numbers, exact, whatever the kernels do.
func TestHeadSumsAreExact(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0))
	const dim, n = 9, headRows + 77
	h := NewHead(HeadConfig{Inputs: dim, Features: headPanel + 30, Seed: 5})
	x, labels := blobs(r, n, dim, 3)
	for i := range x {
		x[i] *= 10 // most of it is cut off, so that sums are as large as they can be
	}
	h.Learn(x, labels)
	width := h.width()
	want := make([]int64, width*width)
	perClass := map[string][]int64{}
	for i := range n {
		row := h.expand(&headScratch{ws: kernel.NewWorkspace()}, x[i*dim:(i+1)*dim], 1)
		if perClass[labels[i]] == nil {
			perClass[labels[i]] = make([]int64, width)
		}
		for j, v := range row {
			if v != float32(int64(v)) || v < 0 || v > headFull {
				t.Fatalf("a feature is %v", v)
			}
			perClass[labels[i]][j] += int64(v)
			for k, w := range row {
				want[j*width+k] += int64(v) * int64(w)
			}
		}
	}
	for j := range width {
		if got := h.moments[triangle(j, width):][:width-j]; !slices.Equal(got, want[j*width+j:(j+1)*width]) {
			t.Fatalf("row %d of the moments is not the sum of products", j)
		}
	}
	for label, sum := range perClass {
		if !slices.Equal(h.classes[label].sum, sum) {
			t.Errorf("class %s: another sum", label)
		}
	}
	if h.Examples() != n || h.Numbers() != width*(width+1)/2+3*(width+1) {
		t.Errorf("%d examples, %d numbers", h.Examples(), h.Numbers())
	}
}

// The read-out solves (G + λI)·W = S.
func TestHeadReadoutSolves(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 0))
	h := NewHead(HeadConfig{Inputs: 12, Features: 3*solveBlock + 5, Ridge: 0.01})
	x, labels := blobs(r, 400, 12, 4)
	h.Learn(x, labels)
	out, err := h.Solve()
	if err != nil {
		t.Fatal(err)
	}
	width, k := h.width(), 4
	at := func(i, j int) float64 {
		return float64(h.moments[triangle(min(i, j), width)+max(i, j)-min(i, j)])
	}
	var trace float64
	for i := range width {
		trace += at(i, i)
	}
	for c, label := range out.Classes() {
		for i := range width {
			left := 0.01 * trace / float64(width) * float64(out.weights[i*k+c])
			for j := range width {
				left += at(i, j) * float64(out.weights[j*k+c])
			}
			right := headFull * float64(h.classes[label].sum[i])
			if math.Abs(left-right) > 1e-5*trace/float64(width) {
				t.Fatalf("class %s, feature %d: %v is not %v", label, i, left, right)
			}
		}
	}
}

// A head learns, tells apart what it was not shown, and learns nothing from labels that mean nothing.
func TestHeadLearns(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	x, labels := blobs(r, 1200, 20, 6)
	train, test := x[:800*20], x[800*20:]
	h := NewHead(HeadConfig{Inputs: 20, Features: 300})
	h.Learn(train, labels[:800])
	if share := answers(t, h, test, labels[800:]); share < 0.97 {
		t.Errorf("%.3f of what it was not shown are right", share)
	}
	mixed := slices.Clone(labels[:800])
	r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	h = NewHead(HeadConfig{Inputs: 20, Features: 300})
	h.Learn(train, mixed)
	if share := answers(t, h, test, labels[800:]); share > 0.4 {
		t.Errorf("with shuffled labels, %.3f are right", share)
	}
}

// How strong inputs are can be all that tells classes apart.
func TestHeadTellsWeakFromStrong(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 0))
	var x []float32
	var labels []string
	for i := range 600 {
		scale := float32(0.1 + 0.5*float64(i%2))
		for range 10 {
			x = append(x, scale*(1+0.1*float32(r.NormFloat64())))
		}
		labels = append(labels, fmt.Sprint(i%2))
	}
	h := NewHead(HeadConfig{Inputs: 10, Features: 100})
	h.Learn(x[:4000], labels[:400])
	if share := answers(t, h, x[4000:], labels[400:]); share < 0.95 {
		t.Errorf("%.3f are right", share)
	}
}

func TestHeadTakesWhatIsNoNumber(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	a, b := NewHead(HeadConfig{Inputs: 3, Features: 20}), NewHead(HeadConfig{Inputs: 3, Features: 20})
	a.Learn([]float32{nan, inf, -inf, 0, 0, 0}, []string{"x", "y"})
	b.Learn([]float32{0, 1, -1, 0, 0, 0}, []string{"x", "y"})
	if !a.Equal(b) {
		t.Error("NaN and infinities are not 0 and the limits")
	}
}

func TestHeadRefuses(t *testing.T) {
	h := NewHead(HeadConfig{Inputs: 2, Features: 20})
	if _, err := h.Solve(); !errors.Is(err, ErrNoClasses) {
		t.Errorf("an empty head: %v", err)
	}
	for _, cfg := range []HeadConfig{{Inputs: 3, Features: 20}, {Inputs: 2, Features: 21}, {Inputs: 2, Features: 20, Seed: 1}, {Inputs: 2, Features: 20, Ridge: 1}} {
		if err := h.Add(NewHead(cfg)); err == nil {
			t.Errorf("%+v was added to %+v", cfg, h.Config())
		}
		if err := h.Subtract(NewHead(cfg)); err == nil {
			t.Errorf("%+v was taken off %+v", cfg, h.Config())
		}
	}
	h.Forget([]float32{1, 0.5}, []string{"never"})
	if _, err := h.Solve(); err == nil {
		t.Error("a head with less than nothing was solved")
	}
	h.Learn([]float32{1, 0.5}, []string{"never"})
	if !h.Equal(NewHead(HeadConfig{Inputs: 2, Features: 20})) {
		t.Error("what was taken and given back leaves a trace")
	}
}

// A head for controls learns what to do: a smooth function of what it senses, from one pass. Order, batches and several
// heads cannot matter, and what is taken back is gone, to the bit.
func TestHeadControls(t *testing.T) {
	const inputs = 12
	names := []string{"throttle", "steer"}
	draw := func(r *rand.Rand, n int) (x, u []float32) {
		for range n {
			a, b := r.Float64()*2-1, r.Float64()*2-1
			for i := range inputs { // each sensor feels something of both
				x = append(x, float32(a*math.Cos(float64(i))+b*math.Sin(float64(i)))/1.5)
			}
			u = append(u, float32(math.Abs(a)-0.5), float32(0.6*math.Sin(2*a)+0.3*a*b))
		}
		return x, u
	}
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 9))
		cfg := HeadConfig{Inputs: inputs, Features: 200, Seed: seed, Ridge: 1e-5, Controls: true}
		x, u := draw(r, 3000)
		h, a, b := NewHead(cfg), NewHead(cfg), NewHead(cfg)
		h.Follow(x, names, u)
		cut := r.IntN(3000)
		b.Follow(x[inputs*cut:], names, u[2*cut:])
		for i := cut - 1; i >= 0; i-- {
			a.Follow(x[inputs*i:inputs*(i+1)], names, u[2*i:2*i+2])
		}
		extra, actions := draw(r, 100)
		b.Follow(extra, names, actions)
		if err := a.Add(b); err != nil {
			t.Fatal(err)
		}
		if a.Equal(h) || a.Examples() != 3100 {
			t.Errorf("seed %d: %d examples, and a head of 3000 is the same", seed, a.Examples())
		}
		a.Unfollow(extra, names, actions)
		if !a.Equal(h) {
			t.Errorf("seed %d: the order in which it was shown is seen", seed)
		}
		out, err := h.Solve()
		if err != nil {
			t.Fatal(err)
		}
		if got := out.Classes(); !slices.Equal(got, []string{"steer", "throttle"}) {
			t.Fatalf("controls %q", got)
		}
		x, u = draw(r, 500)
		does := make([]float32, len(u))
		out.Scores(does, x)
		var off, still float64
		for i := range u {
			off += math.Abs(float64(u[i] - does[i^1])) // sorted, steer comes first
			still += math.Abs(float64(u[i]))
		}
		if off > 0.08*still {
			t.Errorf("seed %d: off by %.4f on average, one that does nothing by %.4f", seed, off/float64(len(u)), still/float64(len(u)))
		}
	}
}
