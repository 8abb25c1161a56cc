package model

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A State is the thought of one stream: all that Forward carries from one chunk to the next. Its size
// depends on the shape of the model alone, never on how much has been read.
type State struct {
	// Events counts what the stream has brought so far.
	Events uint64

	layers  []layerState
	context []float32 // (ContextSize) evidence: a short average of the context features
	last    []float32 // (1) the last byte, where gates look at it; else empty
	data    []float32 // one piece behind all of the above
	one     *Tape     // Step's buffers
}

type layerState struct {
	prev  []float32 // (D) the last input of the mixer
	slope []float32 // (D) bias-corrected average of the V branch's input
	decay []float32 // (D) long decayed sum of the E branch's input
	age   []float32 // (C) A_n = Σ_{j<n} γ^j
}

// NewState returns the state of a stream that has not begun.
func (m *Model) NewState() *State {
	c := m.Config
	per := 3*c.Width + c.Channels
	s := &State{data: make([]float32, c.Layers*per+c.ContextSize()+c.lastSize()), layers: make([]layerState, c.Layers)}
	s.view(c)
	return s
}

func (s *State) view(c Config) {
	d := s.data
	take := func(n int) []float32 {
		v := d[:n:n]
		d = d[n:]
		return v
	}
	for i := range s.layers {
		s.layers[i] = layerState{prev: take(c.Width), slope: take(c.Width), decay: take(c.Width), age: take(c.Channels)}
	}
	s.context = take(c.ContextSize())
	s.last = take(c.lastSize())
}

// lastSize is how many numbers a stream keeps of its last byte.
func (c Config) lastSize() int {
	if c.Demand == 0 {
		return 0
	}
	return 1
}

// Reset makes s the state of a stream that has not begun.
func (s *State) Reset() {
	s.Events = 0
	clear(s.data)
}

// Clone returns a copy that shares nothing with s.
func (s *State) Clone() *State {
	c := &State{Events: s.Events, data: append([]float32(nil), s.data...), layers: make([]layerState, len(s.layers))}
	width, channels := len(s.layers[0].prev), len(s.layers[0].age)
	c.view(Config{Width: width, Channels: channels, ContextLayer: len(s.context)/width - 1, Demand: float32(len(s.last))})
	return c
}

// CopyFrom makes s equal to o, which has the same shape.
func (s *State) CopyFrom(o *State) {
	if len(s.data) != len(o.data) {
		panic("model: CopyFrom of a state of another shape")
	}
	s.Events = o.Events
	copy(s.data, o.data)
}

// Finite reports whether all numbers in s are finite.
func (s *State) Finite() bool {
	var sum float32 // of zeros, unless a number is not finite
	for _, v := range s.data {
		sum += v - v
	}
	return sum == 0
}

// Bytes is the size of what a stream carries.
func (s *State) Bytes() int { return 8 + 4*len(s.data) }

// MarshalBinary returns the state as bytes: the count of events, then its numbers, little-endian.
func (s *State) MarshalBinary() ([]byte, error) {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, s.Bytes()), s.Events)
	return appendFloats(b, s.data), nil
}

// UnmarshalBinary reads what MarshalBinary wrote into a state of the same shape.
func (s *State) UnmarshalBinary(b []byte) error {
	if len(b) != s.Bytes() {
		return fmt.Errorf("%w: a state of %d bytes, want %d", ErrShape, len(b), s.Bytes())
	}
	for i := range s.data {
		v := math.Float32frombits(binary.LittleEndian.Uint32(b[8+4*i:]))
		if !finite(v) {
			return fmt.Errorf("model: state: number %d is not finite", i)
		}
		s.data[i] = v
	}
	s.Events = binary.LittleEndian.Uint64(b)
	return nil
}

func appendFloats(b []byte, w []float32) []byte {
	for _, v := range w {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func finite(v float32) bool { return v-v == 0 }

// Evidence is what the stream's recent past says about its context: (ContextSize) numbers that belong to s.
func (s *State) Evidence() []float32 { return s.context }
