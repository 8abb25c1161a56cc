package speed

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/yanmesh/yan/cmd/internal/device"
	"github.com/yanmesh/yan/model"
)

// aloneVariable makes this program one that only reads: see readAlone.
const aloneVariable = "YAN_TEST_READ_ALONE"

func init() {
	if os.Getenv(aloneVariable) != "" {
		readAlone(os.Args[1], os.Args[2] == "ahead")
	}
}

// readAlone has the model in a file read 16,000 events, in chunks of 256 first if ahead is true, and says how many kilobytes the
// process took at most.
func readAlone(file string, ahead bool) {
	m, err := device.OpenModel(file)
	if err != nil {
		panic(err)
	}
	in := Prose(16000)
	s := m.NewState()
	if ahead {
		t := model.Tape{Lean: true, LastOnly: true}
		for part := range slices.Chunk(in, 256) {
			m.Forward(s, part, &t)
		}
	}
	for _, e := range in {
		m.Step(s, e)
	}
	_, peak := resident()
	os.Stdout.WriteString(strconv.Itoa(peak))
	os.Exit(0)
}

// BenchmarkMemory is what a process takes that does nothing but read a stream of 16,000 events with a model from a file.
func BenchmarkMemory(b *testing.B) {
	for _, s := range Full().Shapes {
		file := filepath.Join(b.TempDir(), "model")
		m, err := Build(s.Config)
		if err != nil {
			b.Fatal(err)
		}
		var out bytes.Buffer
		if err := m.Write(&out, true, nil); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
			b.Fatal(err)
		}
		for _, way := range []string{"ahead", "stepwise"} {
			b.Run(s.Name+"/"+way, func(b *testing.B) {
				for b.Loop() {
					c := exec.Command(os.Args[0], file, way)
					c.Env = append(os.Environ(), aloneVariable+"=1")
					said, err := c.Output()
					if err != nil {
						b.Fatal(err)
					}
					peak, err := strconv.Atoi(strings.TrimSpace(string(said)))
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(peak)/1e6, "MB")
					b.ReportMetric(float64(peak)/float64(2*m.Parameters()), "of-weights")
				}
			})
		}
	}
}
