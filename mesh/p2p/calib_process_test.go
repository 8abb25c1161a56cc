package p2p

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/yanmesh/yan/mesh/meshtest"
	whole "github.com/yanmesh/yan/node"
	"github.com/yanmesh/yan/node/store"
)

var calibProcesses = flag.Bool("calibrate-processes", false, "compare with processes on loopback too, which takes the real time that users talk and two minutes")

// errand is the name of the environment variable that makes a process of this test a device.
const errand = "YAN_CALIBRATION_DEVICE"

// A job is what a process is told to be.
type job struct {
	Calibration calibration
	Index       int
	Begin       time.Time
	Said        []time.Duration
	Port        int    // of the first device
	Home        string // where its store is
}

// processes runs it as processes of their own, each with a store on disk, on hosts that meet on loopback.
func (c calibration) processes(t *testing.T, said [][]time.Duration) outcome {
	port := freePort(t)
	begin := time.Now().Add(10 * time.Second)
	all, errs := make([]lived, c.Devices), make(chan error, c.Devices)
	for i := range all {
		b, err := json.Marshal(job{c, i, begin, said[i], port, filepath.Join(t.TempDir(), "home")})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCalibrationDevice$")
		cmd.Env = append(os.Environ(), errand+"="+string(b), "GOMAXPROCS=1")
		var out, bad bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &bad
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			if err := cmd.Wait(); err != nil {
				errs <- fmt.Errorf("device %d: %w: %s%s", i, err, out.Bytes(), bad.Bytes())
				return
			}
			errs <- json.Unmarshal(out.Bytes()[:bytes.LastIndexByte(out.Bytes(), '}')+1], &all[i])
		}()
	}
	for range all {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	return together(all)
}

// freePort is free for UDP now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.LocalAddr().(*net.UDPAddr).Port
}

// TestCalibrationDevice is no test: it is a device, when processes starts it.
func TestCalibrationDevice(t *testing.T) {
	text, ok := os.LookupEnv(errand)
	if !ok {
		t.Skip("this is a device of TestSimulatorTellsTheTruth")
	}
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		t.Fatal(err)
	}
	at := func(port int) string { return fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", port) }
	conf := Config{Key: meshtest.Key(j.Index), Listen: []string{at(0)}, Log: quiet}
	if j.Index == 0 {
		conf.Listen = []string{at(j.Port)}
	} else {
		conf.Join = []string{at(j.Port) + "/p2p/" + string(meshtest.ID(0))}
	}
	st, err := store.Open(j.Home, store.Options{Format: whole.Format})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	m, err := New(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	l, err := j.Calibration.live(t.Context(), j.Index, m, meshtest.Key(j.Index), st, j.Begin, j.Said)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(l); err != nil {
		t.Fatal(err)
	}
}

// The same small world as processes, beside the simulator with links that take a millisecond.
func TestProcessesLiveAsSimulated(t *testing.T) {
	if !*calibProcesses {
		t.Skip("it takes minutes that are real: -calibrate-processes")
	}
	for seed := range uint64(*calibSeeds) {
		c := calibration{Seed: seed + 1, Devices: *calibDevices, Talk: *calibTalk, Text: *calibText, Delay: time.Millisecond, Bandwidth: 1 << 30}
		model, said := c.simulate(t)
		c.compare(t, model, "processes", c.processes(t, said))
	}
}
