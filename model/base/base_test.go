package base

import (
	"testing"

	"github.com/yanmesh/yan/model"
)

// The models that ship are of the shapes they are said to be, small enough, and know their contexts.
func TestShippedModels(t *testing.T) {
	for name, m := range map[string]*model.Model{"embedded": Embedded(), "pocket": Pocket(), "tiny": Tiny()} {
		if m.Background.Len() < 500 {
			t.Errorf("%s: a background of %d samples", name, m.Background.Len())
		}
	}
	if n := Embedded().Parameters(); n < 1_000_000 || n > 5_000_000 {
		t.Errorf("the embedded base has %d parameters", n)
	}
	if n := len(baseFile); n > 12<<20 {
		t.Errorf("the embedded base takes %d bytes", n)
	}
	if n := Tiny().Parameters(); n < 20_000 || n > 30_000 {
		t.Errorf("the tiny base has %d parameters", n)
	}
	if n := len(tinyFile); n > 120_000 {
		t.Errorf("the tiny base takes %d bytes", n)
	}
	a, b, c := Embedded().Fingerprint(), Pocket().Fingerprint(), Tiny().Fingerprint()
	if a == b || a == c || b == c {
		t.Error("two models have one fingerprint")
	}
}
