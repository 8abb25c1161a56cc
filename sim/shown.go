package sim

import (
	"errors"
	"fmt"
)

// Examples are what a user shows in the place of saying it: inputs, and for each the class it is of, or the controls that answer it.
// They are only read, so devices may share what lies beneath.
type Examples struct {
	Inputs int
	X      []float32 // (n, Inputs), each from −1 to 1
	Labels []string  // (n), the class of each; or
	Names  []string  // the controls, with
	Values []float32 // (n, len(Names)), what each was
}

// Len is how many there are; of none there may be a nil.
func (e *Examples) Len() int {
	if e == nil || e.Inputs < 1 {
		return 0
	}
	return len(e.X) / e.Inputs
}

// Row returns the inputs of one.
func (e *Examples) Row(i int) []float32 { return e.X[i*e.Inputs : (i+1)*e.Inputs] }

func (e *Examples) check() error {
	if e == nil {
		return nil
	}
	switch {
	case e.Inputs < 1:
		return errors.New("examples without inputs")
	case len(e.X) == 0 || len(e.X)%e.Inputs != 0:
		return fmt.Errorf("%d numbers are no examples of %d inputs each", len(e.X), e.Inputs)
	case (len(e.Labels) > 0) == (len(e.Names) > 0):
		return errors.New("examples need labels, or names of controls with their values, and not both")
	case len(e.Labels) > 0 && len(e.Labels) != e.Len():
		return fmt.Errorf("%d labels for %d examples", len(e.Labels), e.Len())
	case len(e.Values) != len(e.Names)*e.Len():
		return fmt.Errorf("%d values for %d controls of %d examples", len(e.Values), len(e.Names), e.Len())
	}
	for i, v := range e.X {
		if !(v >= -1 && v <= 1) {
			return fmt.Errorf("example %d: input %d is %v: must be from -1 to 1", i/e.Inputs, i%e.Inputs, v)
		}
	}
	for i, v := range e.Values {
		if v-v != 0 {
			return fmt.Errorf("example %d: the value of %s is %v", i/len(e.Names), e.Names[i%len(e.Names)], v)
		}
	}
	return nil
}
