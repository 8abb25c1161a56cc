package local

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/yanmesh/yan/model"
)

// fileFormat names the files of Write.
const fileFormat = "yan pictures v1"

// maxPixels bounds the pictures of a file.
const maxPixels = 1 << 20

// fileShape is what stands in the header of a file.
type fileShape struct {
	Config Config
	Pixels int
}

// Write writes a net and its imagery as one tensor file.
func Write(w io.Writer, n *Net, im *Imagery) error {
	shape, err := json.Marshal(fileShape{n.Config, im.Pixels})
	if err != nil {
		return fmt.Errorf("local: write: %w", err)
	}
	return model.WriteTensors(w, map[string]string{"format": fileFormat, "shape": string(shape)}, []model.NamedTensor{
		{Name: "weights", Shape: []int{len(n.Model.Weights)}, Data: n.Model.Weights},
		{Name: "heads", Shape: []int{len(n.Heads)}, Data: n.Heads},
		{Name: "means", Shape: []int{len(im.Means)}, Data: im.Means},
		{Name: "maps", Shape: []int{len(im.Maps)}, Data: im.Maps},
	})
}

// Load reads what Write wrote. It trusts nothing in it; what is not such a file is [model.ErrCheckpoint].
func Load(b []byte) (*Net, *Imagery, error) {
	f, err := model.ReadTensors(b)
	if err != nil {
		return nil, nil, err
	}
	var s fileShape
	if f.Meta["format"] != fileFormat || json.Unmarshal([]byte(f.Meta["shape"]), &s) != nil || s.Pixels < 1 || s.Pixels > maxPixels {
		return nil, nil, fmt.Errorf("%w: it holds no net of pictures", model.ErrCheckpoint)
	}
	if err := s.Config.Check(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", model.ErrCheckpoint, err)
	}
	// Before anything is made room for: does the file have what its shape speaks of?
	m, pixels := s.Config.Model, int64(s.Pixels)
	d, layers := m.Width, m.Layers
	if size := int64(layers)*int64(dense(m)+m.Sections*m.SectionSize()) + int64(s.Config.Classes+layers*(d+1))*pixels; size > int64(len(b)/4) {
		return nil, nil, fmt.Errorf("%w: its shape needs %d numbers", model.ErrCheckpoint, size)
	}
	n, err := New(s.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", model.ErrCheckpoint, err)
	}
	im := &Imagery{Pixels: s.Pixels, Means: make([]float32, s.Config.Classes*s.Pixels), Maps: make([]float32, layers*(d+1)*s.Pixels)}
	for _, t := range []struct {
		name string
		dst  []float32
	}{{"weights", n.Model.Weights}, {"heads", n.Heads}, {"means", im.Means}, {"maps", im.Maps}} {
		if err := f.Read(t.name, t.dst, len(t.dst)); err != nil {
			return nil, nil, err
		}
	}
	return n, im, nil
}
