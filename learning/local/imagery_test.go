package local

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/yanmesh/yan/model"
	"github.com/yanmesh/yan/model/kernel"
)

// imagined is a net with an imagery of pictures of nine pixels, which it reads as they are in its first places.
func imagined(t *testing.T) (n *Net, im *Imagery, x, pictures []float32, labels []int) {
	t.Helper()
	c := shape()
	tr := stirred(t, Own, c)
	x, labels = examples(120, c, 21)
	for e := range labels {
		pictures = append(pictures, x[e*c.Places*c.Features:][:9]...)
	}
	im, err := NewImagery(tr.net, x, pictures, labels)
	if err != nil {
		t.Fatal(err)
	}
	return tr.net, im, x, pictures, labels
}

func TestImageryExpectsMeans(t *testing.T) {
	n, im, _, pictures, labels := imagined(t)
	want := make([]float32, 9)
	share := []float32{0.25, 0, 0.75}
	for k, p := range share {
		count := float32(0)
		for _, l := range labels {
			if l == k {
				count++
			}
		}
		for e, l := range labels {
			if l == k {
				kernel.Axpy(want, p/count, pictures[e*9:(e+1)*9])
			}
		}
	}
	got := im.Expected(share)
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-5 {
			t.Errorf("pixel %d is expected to be %v, want %v", i, got[i], want[i])
		}
	}
	if len(im.Maps) != n.Config.Model.Layers*(n.Config.Model.Width+1)*9 {
		t.Errorf("%d numbers of maps", len(im.Maps))
	}
}

// What a layer's state tells of a picture is nearer to it than the mean picture is, and no other linear map would be nearer.
func TestImagerySeesPictures(t *testing.T) {
	n, im, x, pictures, labels := imagined(t)
	var r Reading
	n.Read(x, &r)
	d := n.Config.Model.Width
	loss := func(layer int) (sum float64) {
		for e := range labels {
			seen := im.Seen(layer, r.States[layer][e*d:(e+1)*d])
			kernel.Axpy(seen, -1, pictures[e*9:(e+1)*9])
			sum += float64(kernel.SumSquares(seen))
		}
		m := im.Maps[layer*(d+1)*9 : (layer+1)*(d+1)*9]
		return sum + imageryRidge*float64(len(labels))*float64(kernel.SumSquares(m))
	}
	mean := make([]float32, 9)
	for e := range labels {
		kernel.Axpy(mean, 1/float32(len(labels)), pictures[e*9:(e+1)*9])
	}
	var spread float64
	for e := range labels {
		away := slices.Clone(mean)
		kernel.Axpy(away, -1, pictures[e*9:(e+1)*9])
		spread += float64(kernel.SumSquares(away))
	}
	for layer := range n.Config.Model.Layers {
		least := loss(layer)
		if least > 0.9*spread {
			t.Errorf("layer %d: %.3f of the pictures is not seen, their spread is %.3f", layer, least, spread)
		}
		// Along its largest number, the loss is least where that number is.
		m := im.Maps[layer*(d+1)*9 : (layer+1)*(d+1)*9]
		at := 0
		for i := range m {
			if math.Abs(float64(m[i])) > math.Abs(float64(m[at])) {
				at = i
			}
		}
		const h = 0.05
		m[at] += h
		up := loss(layer)
		m[at] -= 2 * h
		down := loss(layer)
		m[at] += h
		if off := h / 2 * (down - up) / (up + down - 2*least); math.Abs(off) > 0.003*math.Abs(float64(m[at])) {
			t.Errorf("layer %d: a number of %.4f should be %.4f larger", layer, m[at], off)
		}
	}
}

func TestImageryRefuses(t *testing.T) {
	n, _, x, pictures, labels := imagined(t)
	if _, err := NewImagery(n, x, pictures[:len(pictures)-1], labels); err == nil {
		t.Error("pictures of other sizes were taken")
	}
	one := slices.Repeat([]int{1}, len(labels))
	if _, err := NewImagery(n, x, pictures, one); err == nil {
		t.Error("a class without pictures was taken")
	}
}

func written(t testing.TB) []byte {
	n, err := New(shape())
	if err != nil {
		t.Fatal(err)
	}
	n.Init(rand.New(rand.NewPCG(1, 1)))
	im := &Imagery{Pixels: 4, Means: make([]float32, 3*4), Maps: make([]float32, 3*33*4)}
	for i := range im.Maps {
		im.Maps[i] = float32(i)
	}
	for i := range im.Means {
		im.Means[i] = float32(-i)
	}
	var b bytes.Buffer
	if err := Write(&b, n, im); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A net comes back from a file as it was, and what is no such file is refused.
func TestFileRoundTrip(t *testing.T) {
	b := written(t)
	n, im, err := Load(b)
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := Write(&again, n, im); err != nil || !bytes.Equal(again.Bytes(), b) {
		t.Errorf("written again it is another file (%v)", err)
	}
	for name, bad := range map[string][]byte{
		"nothing":          nil,
		"a part":           b[:len(b)-4],
		"another format":   bytes.Replace(b, []byte(fileFormat), []byte("yan pictures v9"), 1),
		"another shape":    bytes.Replace(b, []byte(`\"width\":32`), []byte(`\"width\":48`), 1),
		"a foreign width":  bytes.Replace(b, []byte(`\"width\":32`), []byte(`\"width\":33`), 1),
		"too many classes": bytes.Replace(b, []byte(`\"classes\":3`), []byte(`\"classes\":9`), 1),
	} {
		if _, _, err := Load(bad); !errors.Is(err, model.ErrCheckpoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	b := written(f)
	f.Add(b)
	f.Add(b[:300])
	f.Fuzz(func(t *testing.T, b []byte) {
		n, im, err := Load(b)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, n, im); err != nil {
			t.Fatal(err)
		}
		m, jm, err := Load(out.Bytes())
		if err != nil || !slices.Equal(m.Heads, n.Heads) || !slices.Equal(m.Model.Weights, n.Model.Weights) || !slices.Equal(jm.Maps, im.Maps) {
			t.Fatalf("written and read again it is another net (%v)", err)
		}
	})
}
