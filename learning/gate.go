package learning

import (
	"fmt"
	"math"
	"slices"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// GateConfig says how gates are solved. Zero fields take the values in brackets.
type GateConfig struct {
	// Firing is the share of protected background contexts on which a bank may open [0.01].
	Firing float64
	// Ridge is added to the covariance, as a share of its mean variance [0.3].
	Ridge float64
	// Home is the share of a background group that has to look like the bank's own context for the
	// bank to count as a refinement of that group, which then needs no protection from it [0.1].
	Home float64
	// Way is how far the evidence has to come, as a share of the way from the middle of the background to
	// the middle of the bank's own context, before the bank opens at all [0.33].
	Way float64
	// Alone leaves it to the gates in other streams too; otherwise skills open by likelihood there (see Reader).
	Alone bool
	// Cache, where it is not nil, remembers what was solved.
	Cache *GateCache `json:"-"`
}

func (c GateConfig) withDefaults() GateConfig {
	if c.Firing == 0 {
		c.Firing = 0.01
	}
	if c.Ridge == 0 {
		c.Ridge = 0.3
	}
	if c.Home == 0 {
		c.Home = 0.1
	}
	if c.Way == 0 {
		c.Way = 0.33
	}
	return c
}

// A GateReport says what a solved gate does on the samples it was solved from.
type GateReport struct {
	Open  float64 // share of the bank's own samples at which it opens more than half
	Fires float64 // share of protected background samples at which it opens at all
	Homes []int32 // background groups that the bank refines
}

// SolveGate computes, without a gradient, when a bank opens: samples are (n, ContextSize) evidence from
// the bank's context, bg is the base's background. The direction is Fisher's linear discriminant, the
// threshold a quantile of the background (learning.md 6.9). Nothing but the base and the samples enters, so
// every device that has both comes to the same gate, whatever else is installed.
//
// A context that the base knows already cannot be told from the background, and need not be: groups
// of the background that look like the bank's own context are its home, and the gate is solved
// against all the others.
func SolveGate(cfg GateConfig, bg *model.Background, samples []float32, dim int) (model.Gate, GateReport, error) {
	cfg = cfg.withDefaults()
	if cfg.Cache != nil {
		return cfg.Cache.solve(cfg, bg, samples, dim)
	}
	return solveGate(cfg, bg, samples, dim)
}

// solveGate expects cfg to be complete.
func solveGate(cfg GateConfig, bg *model.Background, samples []float32, dim int) (model.Gate, GateReport, error) {
	n := len(samples) / max(dim, 1)
	if n == 0 || n*dim != len(samples) {
		return model.Gate{}, GateReport{}, fmt.Errorf("learning: gate: %d numbers are no samples of %d features", len(samples), dim)
	}
	if bg.Len() == 0 {
		return model.Gate{}, GateReport{}, fmt.Errorf("learning: gate: the base has no background")
	}
	ws := kernel.NewWorkspace()
	own := moments(ws, samples, dim, nil)

	home := map[int32]bool{}
	var g model.Gate
	var rep GateReport
	for {
		protected := func(i int) bool { return !home[bg.Group[i]] }
		// The direction comes from one half of the background and the threshold from the other: in so many
		// dimensions a threshold on the samples that a direction was fitted to would promise too much.
		rest := moments(ws, bg.Samples, dim, func(i int) bool { return protected(i) && !held(i) })
		if rest.n == 0 { // the bank refines everything the base knows
			g = model.Gate{Weight: make([]float32, dim), Theta: -1, Span: 1}
			rep = GateReport{Open: 1, Homes: groups(home)}
			break
		}
		cov := mix(rest.cov, own.cov, min(0.5, float64(n)/float64(dim)))
		ridge(cov, dim, cfg.Ridge)
		l, err := cholesky(cov, dim)
		if err != nil {
			return model.Gate{}, GateReport{}, err
		}
		diff := make([]float64, dim)
		for j := range diff {
			diff[j] = own.mean[j] - rest.mean[j]
		}
		w := solve(l, diff, dim)

		var background []float64
		byGroup := map[int32][]float64{}
		for i := range bg.Group {
			s := project64(w, bg.Samples[i*dim:(i+1)*dim])
			byGroup[bg.Group[i]] = append(byGroup[bg.Group[i]], s)
			if protected(i) && held(i) {
				background = append(background, s)
			}
		}
		mine := make([]float64, n)
		for i := range n {
			mine[i] = project64(w, samples[i*dim:(i+1)*dim])
		}
		if len(background) == 0 {
			background = append(background, byGroup[bg.Group[0]]...)
		}
		slices.Sort(background)
		slices.Sort(mine)
		theta, median := quantile(background, 1-cfg.Firing), quantile(background, 0.5)
		// Of a context far from all that the base knows, the budget alone would take any two odd bytes for a
		// sign, and what is learnt there is worth the less elsewhere the stranger it is.
		theta = max(theta, median+float64(cfg.Way*(quantile(mine, 0.5)-median)))
		span := 0.15 * max(theta-median, 1e-6)

		// Which groups does this gate take for its own?
		like := quantile(mine, 0.2)
		found := false
		for _, k := range groups(byGroup) {
			if home[k] {
				continue
			}
			in := 0
			for _, s := range byGroup[k] {
				if s > like {
					in++
				}
			}
			if float64(in) > cfg.Home*float64(len(byGroup[k])) {
				home[k], found = true, true
			}
		}
		if found {
			continue
		}
		g = model.Gate{Weight: make([]float32, dim), Theta: float32(theta), Span: float32(span)}
		for j, v := range w {
			g.Weight[j] = float32(v)
		}
		rep = GateReport{Homes: groups(home)}
		for _, s := range mine {
			if s > theta+span/2 {
				rep.Open += 1 / float64(n)
			}
		}
		for _, s := range background {
			if s > theta {
				rep.Fires += 1 / float64(len(background))
			}
		}
		break
	}

	// How likely this context is, on a scale that all banks of this base share.
	all := moments(ws, bg.Samples, dim, nil)
	ridge(all.cov, dim, cfg.Ridge)
	l, err := cholesky(all.cov, dim)
	if err != nil {
		return model.Gate{}, GateReport{}, err
	}
	w := solve(l, own.mean, dim)
	g.Own = make([]float32, dim)
	var self float64
	for j, v := range w {
		g.Own[j] = float32(v)
		self += float64(v * own.mean[j])
	}
	g.OwnBias = float32(-self / 2)
	return g, rep, nil
}

// held says which background samples thresholds are taken from: every other stretch of the survey.
func held(i int) bool { return i/surveyTake%2 == 1 }

func groups[V any](m map[int32]V) []int32 {
	var ks []int32
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}

// quantile of sorted values; q is clamped to what is there.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(max(int(q*float64(len(sorted))), 0), len(sorted)-1)]
}

func project64(w []float64, x []float32) (s float64) {
	for j, v := range x {
		s += float64(w[j] * float64(v))
	}
	return s
}

type moment struct {
	n    int
	mean []float64
	cov  []float64 // (dim, dim)
}

// moments of the samples for which keep is true, or of all.
func moments(ws *kernel.Workspace, samples []float32, dim int, keep func(int) bool) moment {
	m := moment{mean: make([]float64, dim), cov: make([]float64, dim*dim)}
	var kept []float32
	for i := 0; i*dim < len(samples); i++ {
		if keep == nil || keep(i) {
			m.n++
			x := samples[i*dim : (i+1)*dim]
			kept = append(kept, x...)
			for j, v := range x {
				m.mean[j] += float64(v)
			}
		}
	}
	if m.n == 0 {
		return m
	}
	for j := range m.mean {
		m.mean[j] /= float64(m.n)
	}
	for i := range m.n {
		for j, v := range m.mean {
			kept[i*dim+j] -= float32(v)
		}
	}
	c := make([]float32, dim*dim)
	kernel.Gemm(ws, c, dim, kept, 1, dim, kept, dim, 1, dim, dim, m.n, false)
	for i, v := range c {
		m.cov[i] = float64(v) / float64(m.n)
	}
	return m
}

// mix returns (1−w)·a + w·b.
func mix(a, b []float64, w float64) []float64 {
	c := make([]float64, len(a))
	for i := range c {
		c[i] = float64((1-w)*a[i]) + float64(w*b[i])
	}
	return c
}

func ridge(cov []float64, dim int, share float64) {
	var trace float64
	for j := range dim {
		trace += cov[j*dim+j]
	}
	add := share*trace/float64(dim) + 1e-9
	for j := range dim {
		cov[j*dim+j] += add
	}
}

// cholesky returns L with L·Lᵀ = a.
func cholesky(a []float64, n int) ([]float64, error) {
	l := slices.Clone(a)
	for i := range n {
		for j := range i + 1 {
			s := l[i*n+j]
			ri, rj := l[i*n:i*n+j], l[j*n:j*n+j]
			for k, v := range ri {
				s -= float64(v * rj[k])
			}
			if i == j {
				if !(s > 0) {
					return nil, fmt.Errorf("learning: gate: covariance is not positive definite")
				}
				l[i*n+i] = math.Sqrt(s)
			} else {
				l[i*n+j] = s / l[j*n+j]
			}
		}
	}
	return l, nil
}

// solve returns x with L·Lᵀ·x = b.
func solve(l, b []float64, n int) []float64 {
	x := slices.Clone(b)
	for i := range n {
		for k := range i {
			x[i] -= float64(l[i*n+k] * x[k])
		}
		x[i] /= l[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		for k := i + 1; k < n; k++ {
			x[i] -= float64(l[k*n+i] * x[k])
		}
		x[i] /= l[i*n+i]
	}
	return x
}

// Survey reads from texts that a base knows and returns a sample of the evidence they leave: n samples
// in all, spread evenly over each text, in groups of alike contexts (k-means with fixed starts).
func Survey(m *model.Model, texts [][]byte, n, groupsPerText int) (*model.Background, error) {
	dim := m.Config.ContextSize()
	bg := &model.Background{}
	group := int32(0)
	for _, text := range texts {
		samples := sampleEvidence(m, text, n/len(texts))
		if len(samples) == 0 {
			return nil, fmt.Errorf("learning: survey: a text of %d bytes is too short", len(text))
		}
		for i := range samples { // as the checkpoint will keep them
			samples[i] = float32(math.RoundToEven(float64(samples[i])/model.Int8Step)) * model.Int8Step
		}
		for _, k := range cluster(samples, dim, groupsPerText) {
			bg.Group = append(bg.Group, group+k)
		}
		bg.Samples = append(bg.Samples, samples...)
		group += int32(groupsPerText)
	}
	return bg, nil
}

// Evidence is taken from stretches of a text: a long past comes first, so that slow channels know it too.
const (
	surveyLead = 2048 // bytes read before the first sample of a stretch
	surveyStep = 512  // bytes between samples
	surveyTake = 8    // samples of a stretch
)

// sampleEvidence takes about n samples of the evidence that a text leaves, from stretches spread over it.
func sampleEvidence(m *model.Model, text []byte, n int) []float32 {
	var out []float32
	t := model.Tape{ContextOnly: true}
	dim := m.Config.ContextSize()
	length := surveyLead + surveyTake*surveyStep
	stretches := max((n+surveyTake-1)/surveyTake, 1)
	for k := range stretches {
		from := 0
		if len(text) > length {
			from = (len(text) - length) * k / max(stretches-1, 1)
		} else if k > 0 {
			break
		}
		part := text[from:min(from+length, len(text))]
		lead := min(surveyLead, len(part)/2)
		s := m.NewState()
		if lead > 0 {
			m.Forward(s, sense.Text(part[:lead]), &t)
		}
		for at := lead; at < len(part); at += surveyStep {
			m.Forward(s, sense.Text(part[at:min(at+surveyStep, len(part))]), &t)
			out = append(out, t.Context[(t.N-1)*dim:t.N*dim]...)
		}
	}
	return out
}

// cluster assigns each sample to one of k groups by Lloyd's algorithm from evenly spread starts.
func cluster(samples []float32, dim, k int) []int32 {
	n := len(samples) / dim
	k = min(k, n)
	centre := make([]float32, k*dim)
	for c := range k {
		at := (c*n + n/2) / k
		copy(centre[c*dim:(c+1)*dim], samples[at*dim:(at+1)*dim])
	}
	label := make([]int32, n)
	for range 20 {
		for i := range n {
			x := samples[i*dim : (i+1)*dim]
			best := float32(math.Inf(1))
			for c := range k {
				var d float32
				for j, v := range centre[c*dim : (c+1)*dim] {
					d += float32((x[j] - v) * (x[j] - v))
				}
				if d < best {
					best, label[i] = d, int32(c)
				}
			}
		}
		count := make([]float32, k)
		clear(centre)
		for i, c := range label {
			count[c]++
			kernel.Add(centre[int(c)*dim:(int(c)+1)*dim], samples[i*dim:(i+1)*dim])
		}
		for c := range k {
			if count[c] > 0 {
				kernel.Scale(centre[c*dim:(c+1)*dim], 1/count[c])
			}
		}
	}
	return label
}
