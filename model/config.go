package model

import (
	"errors"
	"fmt"
	"math"

	"github.com/yanmesh/yan/model/kernel/portable"
	"github.com/yanmesh/yan/model/sense"
)

// Config is the shape of a model. Two models of equal Config have tensors of equal names and sizes.
type Config struct {
	Width    int `json:"width"`    // D, the residual stream; a multiple of 16
	Layers   int `json:"layers"`   // L
	Channels int `json:"channels"` // C; Width/Channels is the block size Dc

	Sections  int `json:"sections"`   // S, sections in each layer
	Neurons   int `json:"neurons"`    // m, neurons in a section
	KeyRank   int `json:"key_rank"`   // r, the dimension in which keys meet queries
	Active    int `json:"active"`     // sections that shall be active in a layer on average
	MaxActive int `json:"max_active"` // budget of one event in one layer. If zero, 2·Active

	// Alpha says how much of the sparsemax threshold shifts the gates: 0 is plain thresholds,
	// 1 budgeted sparsemax (learning.md 6.2).
	Alpha float32 `json:"alpha"`

	// Plain takes the mixer as the paper has it. Otherwise every projection reads a learned mix of
	// this input and the one before (token shift).
	Plain bool `json:"plain,omitempty"`

	// MixOut adds a D×D projection after the mixer.
	MixOut bool `json:"mix_out,omitempty"`

	// ContextLayer is the highest layer whose decay state tells banks which context this is. Banks
	// have sections only in this layer and above, so that no bank can change what opens a bank.
	ContextLayer int `json:"context_layer"`

	// Demand is how far a standard deviation of the openness of the last two bytes lowers the floor of an event's gates, so that
	// more sections are computed where prediction is hard (ζ of learning.md 6.2; see [Demand]). If zero, none.
	Demand float32 `json:"demand,omitempty"`
}

// Small is the shape for experiments: about 0.7 million parameters.
func Small() Config {
	return Config{Width: 96, Layers: 3, Channels: 6, Sections: 96, Neurons: 8, KeyRank: 24, Active: 9, Alpha: 0.5, ContextLayer: 1}
}

// Base is the shape of the model that is embedded in the node: 3.2 million parameters.
func Base() Config {
	return Config{Width: 160, Layers: 4, Channels: 5, Sections: 96, Neurons: 16, KeyRank: 32, Active: 9, Alpha: 0.5, ContextLayer: 1}
}

// Pocket is the shape for worlds of many devices and for tests: 0.2 million parameters.
func Pocket() Config {
	return Config{Width: 64, Layers: 2, Channels: 4, Sections: 48, Neurons: 8, KeyRank: 16, Active: 4, Alpha: 0.5, ContextLayer: 1}
}

// Tiny is the shape for worlds of thousands of devices on one machine: 26 thousand parameters.
func Tiny() Config {
	return Config{Width: 32, Layers: 1, Channels: 4, Sections: 20, Neurons: 4, KeyRank: 8, Active: 3, Alpha: 0.5}
}

// Limits of a Config read from a file: beyond them a file is foreign or hostile.
const (
	maxWidth    = 4096
	maxLayers   = 64
	maxSections = 1 << 14
	maxNeurons  = 256
	maxWeights  = 1 << 28
)

// Check reports what is wrong with c.
func (c Config) Check() error {
	switch {
	case c.Width < 16 || c.Width > maxWidth || c.Width%16 != 0:
		return fmt.Errorf("model: width %d: must be a multiple of 16 up to %d", c.Width, maxWidth)
	case c.Layers < 1 || c.Layers > maxLayers:
		return fmt.Errorf("model: %d layers: must be 1 to %d", c.Layers, maxLayers)
	case c.Channels < 1 || c.Channels > c.Width || c.Width%c.Channels != 0:
		return fmt.Errorf("model: %d channels do not divide width %d", c.Channels, c.Width)
	case c.Sections < 1 || c.Sections > maxSections:
		return fmt.Errorf("model: %d sections: must be 1 to %d", c.Sections, maxSections)
	case c.Neurons < 1 || c.Neurons > maxNeurons:
		return fmt.Errorf("model: %d neurons a section: must be 1 to %d", c.Neurons, maxNeurons)
	case c.KeyRank < 1 || c.KeyRank > c.Width:
		return fmt.Errorf("model: key rank %d: must be 1 to the width", c.KeyRank)
	case c.Active < 1 || c.Active > c.Sections:
		return fmt.Errorf("model: %d active of %d sections", c.Active, c.Sections)
	case c.MaxActive < 0 || c.MaxActive > c.Sections:
		return fmt.Errorf("model: at most %d active of %d sections", c.MaxActive, c.Sections)
	case !(c.Alpha >= 0 && c.Alpha <= 1):
		return fmt.Errorf("model: alpha %v: must be 0 to 1", c.Alpha)
	case !(c.Demand >= 0 && c.Demand <= 4):
		return fmt.Errorf("model: demand %v: must be 0 to 4", c.Demand)
	case c.ContextLayer < 0 || c.ContextLayer >= c.Layers:
		return fmt.Errorf("model: context layer %d of %d layers", c.ContextLayer, c.Layers)
	}
	if n := c.size(); n > maxWeights {
		return fmt.Errorf("model: %d parameters: more than %d", n, maxWeights)
	}
	return nil
}

// size bounds the number of parameters without overflow: every factor is checked before.
func (c Config) size() int64 {
	d, l := int64(c.Width), int64(c.Layers)
	return l*int64(c.Sections)*(3*int64(c.Neurons)*d+int64(c.KeyRank)) + l*5*d*d + 2*sense.Symbols*d
}

// budget is the most sections that one event may activate in one layer.
func (c Config) budget() int {
	if c.MaxActive > 0 {
		return c.MaxActive
	}
	return min(2*c.Active, c.Sections)
}

// SectionSize is the number of floats in one section's W1, W3 and W2.
func (c Config) SectionSize() int { return 3 * c.Neurons * c.Width }

// ContextSize is the number of features that tell a context: one decay state a context layer.
func (c Config) ContextSize() int { return (c.ContextLayer + 1) * c.Width }

// slope returns γ_i, the decay of channel i's slope average (paper eq. 4): exp(-(2^(-8/C))^(i+1)).
func (c Config) slope(i int) float32 {
	beta := portable.Pow(2, -8*float64(i+1)/float64(c.Channels))
	return float32(portable.Exp(-beta))
}

// decay returns α_i, the decay of channel i's long memory: 1 - 2^(-5-i).
func (c Config) decay(i int) float32 { return float32(1 - math.Ldexp(1, -5-i)) }

// ErrShape is returned where a model, bank or file of another shape is offered.
var ErrShape = errors.New("model: shapes differ")
