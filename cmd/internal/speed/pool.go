package speed

import (
	"time"

	"github.com/yanmesh/yan/model/kernel"
)

// Pool is what a second thread is worth for short work, by the clock on the wall.
type Pool struct {
	ForkJoin float64 `json:"fork_join_ns"` // how much longer two tasks take side by side than one does alone
	One      float64 `json:"one_ns"`       // a product of 64×256 and 256×256 numbers with one thread
	Two      float64 `json:"two_ns"`       // and with two
	Faster   float64 `json:"faster"`       // how often the one is the other, the median over all rounds
}

// poolWindow is a segment here: so short that some are not disturbed even on a busy machine.
const poolWindow = 2 * time.Millisecond

// pool compares two threads with one.
func (b *bench) pool() error {
	one, two := kernel.NewPool(1), kernel.NewPool(2)
	defer one.Close()
	defer two.Close()
	p := newProduct(2)
	// Some ten microseconds, which no two tasks of a Run wait for each other in: so what is beyond one of them is the price
	// of having two.
	task := func(int, int) { kernel.Burn(3000) }
	const rounds = 20
	var least [4]float64
	var ratios []float64
	for range rounds * b.plan.Rounds {
		if b.ctx.Err() != nil {
			return nil
		}
		var took [4]float64
		for i, run := range []func(){
			func() { one.Run(1, task) },
			func() { two.Run(2, task) },
			func() { one.Run(productTasks, p.task) },
			func() { two.Run(productTasks, p.task) },
		} {
			took[i] = b.window(run)
			if least[i] == 0 || took[i] < least[i] {
				least[i] = took[i]
			}
		}
		ratios = append(ratios, took[2]/took[3])
	}
	b.out.Pool = &Pool{ForkJoin: max(least[1]-least[0], 0), One: least[2], Two: least[3], Faster: rate(ratios).Median}
	return nil
}

// window is how many nanoseconds a run takes when it follows others like it.
func (b *bench) window(run func()) float64 {
	run()
	from, n := b.wall(), 0
	for {
		for range 8 {
			run()
		}
		n += 8
		if took := b.wall() - from; took >= poolWindow {
			return float64(took.Nanoseconds()) / float64(n)
		}
	}
}

// product is one of two matrices in tasks of some columns each.
type product struct {
	ws      []*kernel.Workspace
	a, b, c []float32
}

const (
	productRows  = 64
	productWidth = 256
	productTasks = 8
)

func newProduct(threads int) *product {
	p := &product{a: ones(4 * productRows * productWidth), b: ones(4 * productWidth * productWidth), c: ones(4 * productRows * productWidth)}
	for range threads {
		p.ws = append(p.ws, kernel.NewWorkspace())
	}
	return p
}

func (p *product) task(worker, task int) {
	const columns = productWidth / productTasks
	at := task * columns
	kernel.Gemm(p.ws[worker], p.c[at:], productWidth, p.a, productWidth, 1, p.b[at:], productWidth, 1, productRows, columns, productWidth, false)
}
