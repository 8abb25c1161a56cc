package speed

import (
	"fmt"
	"runtime"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model/sense"
)

// Training is how fast a base of some shape is trained from scratch: bytes a second, a step being 8 windows of 256.
type Training struct {
	Name       string  `json:"name"`
	Parameters int     `json:"parameters"`
	Active     float64 `json:"active_share"` // of the sections
	Rate               // one thread
	Share      float64 `json:"share_of_peak"` // floating-point operations, of those that could be done in that time
	Threads    int     `json:"threads"`
	Faster     float64 `json:"faster"` // how much faster so many threads are, on the wall; 0 if there is but one
}

const (
	trainBatch  = 8
	trainWindow = 256
	// trainSteps are the steps that are timed after one in which buffers grow.
	trainSteps = 2
	// trainThreads is how many threads there are gradients for.
	trainThreads = 2
)

// training is the part that trains one shape.
func (b *bench) training(s Shape) part {
	return part{fmt.Sprintf("training of %s, %s", s.Name, share(s.Dense)), b.plan.Rounds, func() error {
		b.leave()
		return b.train(s)
	}}
}

// share says in words how much of a shape is computed.
func share(dense bool) string {
	if dense {
		return "all active"
	}
	return "a tenth active"
}

// train times steps with one thread and with several, in turns. Which of the two it is is up to how many processors Go
// may use when the trainer begins its threads.
func (b *bench) train(s Shape) error {
	t, err := learning.NewTrainer(learning.TrainConfig{
		Model: s.Config, Bytes: 1 << 40, Batch: trainBatch, Window: trainWindow, Seed: 1, Parallel: trainThreads,
	}, []learning.Source{{Name: "prose", Text: sense.Bytes(b.text)}})
	if err != nil {
		return fmt.Errorf("speed: train %s: %w", s.Name, err)
	}
	defer t.Close()
	if s.Dense {
		saturate(t.Model())
	} else {
		Calibrate(t.Model(), b.text[:calibrationEvents])
	}
	out := &Training{Name: s.Name, Parameters: t.Model().Parameters(), Threads: min(runtime.GOMAXPROCS(0), trainThreads)}
	b.out.Training = append(b.out.Training, out)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))

	var single, faster, steps []float64
	burn, peak, began := b.burning(), 0.0, b.cpu()
	for round := range b.plan.Rounds {
		if b.enough(round, 1, began) {
			break
		}
		from := b.cpu()
		peak = max(peak, burn(round)/(b.cpu()-from).Seconds())
		one := b.steps(t, 1)
		single, steps = append(single, one.rates...), append(steps, one.active...)
		if out.Threads > 1 {
			if many := b.steps(t, out.Threads); many.wall > 0 && one.wall > 0 {
				faster = append(faster, many.wall/one.wall)
			}
		}
		if b.ctx.Err() != nil {
			break
		}
		b.step()
	}
	out.Rate, out.Active, out.Faster = rate(single), rate(steps).Median, rate(faster).Median
	if peak > 0 {
		c := costOf(t.Model(), out.Active)
		out.Share = out.Best * 3 * (c.flops + c.head) / peak // backwards costs twice what forwards does
	}
	return nil
}

// some are steps of training.
type some struct {
	rates  []float64 // bytes a second of processor time, of each
	active []float64 // share of the sections, of each
	wall   float64   // bytes a second on the wall, of all together
}

// steps times some steps with so many threads.
func (b *bench) steps(t *learning.Trainer, threads int) (s some) {
	t.Close()
	runtime.GOMAXPROCS(threads)
	t.Step()
	runtime.GC() // of buffers that grew
	began, bytes := b.wall(), 0
	for range trainSteps {
		if b.ctx.Err() != nil {
			return some{}
		}
		from := b.cpu()
		step := t.Step()
		s.rates = append(s.rates, float64(step.Bytes)/(b.cpu()-from).Seconds())
		s.active = append(s.active, step.Active)
		bytes += step.Bytes
	}
	s.wall = float64(bytes) / (b.wall() - began).Seconds()
	return s
}
