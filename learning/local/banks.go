package local

import (
	"github.com/yanmesh/yan/learning/gradient"
	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
	"github.com/yanmesh/yan/model/sense"
)

// A Lens reads what a layer of a language model would say if it were the last: its residual stream through the final norm
// and head (nostalgebraist 2020, the logit lens). The zero value is ready; it belongs to one goroutine.
type Lens struct {
	ws            *kernel.Workspace
	final, inv    []float32 // (N, D) and (N)
	logits, wrong []float32 // (N, 256)
}

// Read returns the log-odds (N, 256) of the byte behind each event of t's chunk by what leaves a layer. They belong to the
// lens until its next use.
func (l *Lens) Read(m *model.Model, t *model.Tape, layer int) (logits []float32) {
	if l.ws == nil {
		l.ws = kernel.NewWorkspace()
	}
	n, d := t.N, m.Config.Width
	l.final, l.inv, l.logits = fit(l.final, n*d), fit(l.inv, n), fit(l.logits, n*sense.Symbols)
	h := t.Residual(layer)
	for p := range n {
		l.inv[p] = kernel.RMSNorm(l.final[p*d:(p+1)*d], h[p*d:(p+1)*d], m.Norm, normEps)
	}
	kernel.Project(l.ws, l.logits, sense.Symbols, l.final, d, m.Head, 1, d, n, sense.Symbols, d, false)
	return l.logits[:n*sense.Symbols]
}

// Banks adds to g the gradient of the banks of a language model by a local rule: [Broadcast] tells the sections of every
// layer the error at the top as if they stood there (learning.md 6.5.3), [Top] those of the last layer alone, and with
// [Own] each layer is told what it would be wrong about if it were the last. Nothing is carried back through a layer; a
// bank in the last layer gets by all three what it gets from a backward pass. t is the tape of m's last Forward over a chunk behind which the events next came, and
// dlogits the gradient of the loss by its logits, of which every event has the given weight.
func (l *Lens) Banks(rule Rule, p *gradient.Pass, m *model.Model, t *model.Tape, next []sense.Event, dlogits []float32, weight float32, g *gradient.Grad) {
	last := len(m.Layers) - 1
	if rule == Broadcast || rule == Top {
		dh := p.Top(m, t.H, t.Final, t.FinalInv, dlogits, g)
		from := m.Config.ContextLayer
		if rule == Top {
			from = last
		}
		for i := from; i <= last; i++ {
			p.Bank(m, t, i, dh, g)
		}
		return
	}
	for i := m.Config.ContextLayer; i < last; i++ {
		l.wrong = fit(l.wrong, t.N*sense.Symbols)
		gradient.CrossEntropy(l.wrong, l.Read(m, t, i), next, weight)
		p.Bank(m, t, i, p.Top(m, t.Residual(i), l.final, l.inv[:t.N], l.wrong, g), g)
	}
	p.Bank(m, t, last, p.Top(m, t.H, t.Final, t.FinalInv, dlogits, g), g)
}
