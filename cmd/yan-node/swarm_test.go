package main

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/protocol"
)

// fresh is a home with an identity of its own, and that identity's name.
func fresh(t *testing.T) (home string, self protocol.PeerID) {
	t.Helper()
	home = filepath.Join(t.TempDir(), "home")
	self, err := identity(home)
	if err != nil {
		t.Fatal(err)
	}
	return home, self
}

func shown(t *testing.T, home string) swarmReport {
	t.Helper()
	return decode[swarmReport](t, must(t, "", "swarm", "show", "--home", home, "--json"))
}

// fails runs a command that has to fail, in one line that says what to do.
func fails(t *testing.T, want, stdin string, args ...string) {
	t.Helper()
	status, out, errs := yan(t, stdin, args...)
	if status == ui.Done || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) {
		t.Errorf("%v: status %d, %q, %q, which does not say %q", args, status, out, errs, want)
	}
}

// An owner makes a swarm, admits a car, sends it away and takes it back.
func TestSwarmStory(t *testing.T) {
	desk, self := fresh(t)
	car, peer := fresh(t)
	if r := shown(t, car); r.Swarm != "" || r.Device != peer {
		t.Fatalf("before: %+v", r)
	}
	name := strings.TrimSpace(must(t, "", "swarm", "init", "--home", desk))
	pass := must(t, "", "swarm", "admit", string(peer), "--home", desk, "--for", "720h")
	must(t, pass, "swarm", "join", "-", "--home", car)
	r := shown(t, car)
	if r.Swarm != name || r.Owner || len(r.Admitted) != 1 || r.Admitted[0].Peer != peer || r.Admitted[0].State != "valid" {
		t.Fatalf("joined: %+v", r)
	}
	if d := r.Admitted[0].Expires.Sub(r.Admitted[0].NotBefore); d != 720*time.Hour {
		t.Errorf("admitted for %v", d)
	}

	revoked := must(t, "", "swarm", "revoke", strconv.FormatUint(r.Admitted[0].Serial, 10), "--home", desk)
	must(t, "", "swarm", "join", file(t, "revoked.pass", []byte(revoked)), "--home", car)
	for _, home := range []string{desk, car} {
		r := shown(t, home)
		a := r.Admitted[len(r.Admitted)-1]
		if a.Peer != peer || !strings.Contains(a.State, "revoked") || len(r.Revoked) != 1 || r.Revoked[0].Peer != peer {
			t.Errorf("revoked: %+v", r)
		}
	}
	fails(t, "revoked", pass, "swarm", "join", "-", "--home", car)

	for range 2 { // by name, within one second
		must(t, must(t, "", "swarm", "admit", string(peer), "--home", desk), "swarm", "join", "-", "--home", car)
		if r := shown(t, car); r.Admitted[0].State != "valid" {
			t.Errorf("admitted again: %+v", r)
		}
		must(t, must(t, "", "swarm", "revoke", string(peer), "--home", desk), "swarm", "join", "-", "--home", car)
		if r := shown(t, car); !strings.Contains(r.Admitted[0].State, "revoked") {
			t.Errorf("revoked again: %+v", r)
		}
	}
	if r := shown(t, desk); len(r.Admitted) != 4 || r.Admitted[0].Peer != self || r.Admitted[0].State != "valid" || !r.Owner {
		t.Errorf("the owner: %+v", r)
	}
	key := filepath.Join(desk, swarmFolder, swarmKeyFile)
	if info, err := os.Stat(key); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info.Mode(), err)
	}
}

func TestSwarmRefuses(t *testing.T) {
	desk, _ := fresh(t)
	other, _ := fresh(t)
	car, peer := fresh(t)
	must(t, "", "swarm", "init", "--home", desk)
	must(t, "", "swarm", "init", "--home", other)
	pass := must(t, "", "swarm", "admit", string(peer), "--home", desk)
	fails(t, "already", "", "swarm", "init", "--home", desk)
	fails(t, "no device's name", "", "swarm", "admit", "car", "--home", desk)
	fails(t, "a second at least", "", "swarm", "admit", string(peer), "--for", "-1h", "--home", desk)
	fails(t, "no swarm's key", "", "swarm", "admit", string(peer), "--home", car)
	fails(t, "no swarm's key", "", "swarm", "revoke", string(peer), "--home", car)
	fails(t, "no admission has the serial", "", "swarm", "revoke", "7", "--home", desk)
	fails(t, "neither a device's name nor a serial", "", "swarm", "revoke", "car", "--home", desk)
	fails(t, "whole line", pass[:len(pass)/2], "swarm", "join", "-", "--home", car)
	fails(t, "whole line", "hello", "swarm", "join", "-", "--home", car)
	fails(t, "no such file", "", "swarm", "join", filepath.Join(car, "none"), "--home", car)
	fails(t, "another peer's", pass, "swarm", "join", "-", "--home", func() string { h, _ := fresh(t); return h }())
	fails(t, "has the key of", pass, "swarm", "join", "-", "--replace", "--home", other)
	fails(t, "admits nobody", must(t, "", "swarm", "revoke", string(peer), "--home", other), "swarm", "join", "-", "--home", car)
	if shown(t, car).Swarm != "" {
		t.Fatal("a pass that was refused was taken")
	}

	must(t, pass, "swarm", "join", "-", "--home", car)
	fails(t, "already", "", "swarm", "init", "--home", car)
	of := must(t, "", "swarm", "admit", string(peer), "--home", other)
	fails(t, "--replace", of, "swarm", "join", "-", "--home", car)
	must(t, of, "swarm", "join", "-", "--replace", "--home", car)
	if got, want := shown(t, car).Swarm, shown(t, other).Swarm; got != want {
		t.Errorf("in %s, not in %s", got, want)
	}
}

// Of two revocations of a peer the one that goes further stays, whoever writes last, and a file that is damaged
// is an error that names it.
func TestSwarmBook(t *testing.T) {
	home, self := fresh(t)
	must(t, "", "swarm", "init", "--home", home)
	b := bookIn(home)
	key, err := b.key()
	if err != nil {
		t.Fatal(err)
	}
	_, peer := fresh(t)
	for _, serial := range []uint64{5, 9, 7} {
		r := protocol.Revocation{Peer: peer, Serial: serial}
		r.Sign(key)
		if err := b.Save([]protocol.Revocation{r}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Load()
	if err != nil || p.Admission.Peer != self || len(p.Revoked) != 1 || p.Revoked[0].Serial != 9 {
		t.Fatalf("%+v, %v", p, err)
	}
	if p.Swarm != protocol.NewSwarmID(key.Public().(ed25519.PublicKey)) {
		t.Error("of another swarm")
	}
	bad := b.path(revokedFolder, string(peer))
	if err := os.WriteFile(bad, []byte("yan-pass-1:AAAA"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Load(); !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), bad) {
		t.Errorf("a damaged file: %v", err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(b.path(swarmKeyFile), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := b.key(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("a key that all can read: %v", err)
		}
	}
}

// A node whose home has half a swarm does not run as if it had none.
func TestRunInASwarm(t *testing.T) {
	home := newHome(t)
	must(t, "", "swarm", "init", "--home", home)
	args := []string{"run", "--home", home, "--model", pocket(t), "--api", "", "--listen", "/ip4/127.0.0.1/tcp/0"} // until stdin ends
	must(t, "", args...)
	if err := os.Remove(bookIn(home).path(admissionFile)); err != nil {
		t.Fatal(err)
	}
	fails(t, admissionFile, "", args...)
	must(t, "", "swarm", "init", "--home", home) // goes on with the key that is there
	must(t, "", args...)
}

// What a running node makes of a change to its swarm is said: of a first pass nothing until it starts again, of a later
// one soon. Once it is in a swarm it says in which.
func TestSwarmOfARunningNode(t *testing.T) {
	desk, _ := fresh(t)
	car, peer := fresh(t)
	name := strings.TrimSpace(must(t, "", "swarm", "init", "--home", desk))
	for _, heeded := range []string{restart, renewed} {
		pass := must(t, "", "swarm", "admit", string(peer), "--home", desk)
		if out := must(t, pass, "swarm", "join", "-", "--home", car); !strings.Contains(out, name) || !strings.Contains(out, heeded) {
			t.Errorf("%q does not say %q", out, heeded)
		}
	}
	args := []string{"run", "--json", "--home", car, "--model", pocket(t), "--api", "", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"}
	status, out, errs := yan(t, "", args...)
	if status != ui.Done || !strings.Contains(errs, "in "+name) {
		t.Fatalf("status %d, %s", status, errs)
	}
	if first := eventsOf(t, out)[0]; first.Event != "ready" || first.Swarm != name {
		t.Errorf("%+v", first)
	}
}
