package store

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// childVariable tells this test binary to be one of the children below, in the folder it names.
const childVariable = "YAN_STORE_CHILD"

var children = map[string]func(dir string) error{"append": appendUntilKilled}

func TestMain(m *testing.M) {
	role, dir, ok := strings.Cut(os.Getenv(childVariable), ":")
	if !ok {
		os.Exit(m.Run())
	}
	if err := children[role](dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is a process of this test binary in a role.
func child(role, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+role+":"+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// resume opens a folder as a node does: the snapshot, which says up to which record it goes, then
// the log. It returns the number of the last record.
func resume(dir string) (*Store, uint64, error) {
	s, err := Open(dir, Options{})
	if err != nil {
		return nil, 0, err
	}
	var last uint64
	rc, err := s.LoadSnapshot()
	switch {
	case err == nil:
		b, err := io.ReadAll(rc)
		rc.Close()
		if err != nil {
			return s, 0, err
		}
		number, _, _ := strings.Cut(string(b), " ")
		if last, err = strconv.ParseUint(number, 10, 64); err != nil {
			return s, 0, err
		}
	case !errors.Is(err, ErrNone):
		return s, 0, err
	}
	_, err = s.Replay(func(seq uint64, b []byte) error {
		if last++; seq != last || string(b) != string(rec(seq)) {
			return fmt.Errorf("record %d says %q where %d was due", seq, b, last)
		}
		return nil
	})
	return s, last, err
}

// appendUntilKilled appends, snapshots and puts blobs for ever, and says on stdout what it was
// promised.
func appendUntilKilled(dir string) error {
	s, last, err := resume(dir)
	if err != nil {
		return err
	}
	for round := 1; ; round++ {
		var batch [][]byte
		for range 1 + round%5 {
			last++
			batch = append(batch, rec(last))
		}
		if err := s.Append(batch); err != nil {
			return err
		}
		fmt.Println("record", last)
		if round%4 == 0 {
			if err := s.Snapshot(func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%d %s", last, strings.Repeat("state", 20_000))
				return err
			}); err != nil {
				return err
			}
			fmt.Println("snapshot", last)
		}
		if round%3 == 0 {
			if _, err := s.PutBlob(fmt.Appendf(nil, "blob %d", last)); err != nil {
				return err
			}
			fmt.Println("blob", last)
		}
	}
}

// Killed at any instant, a node has everything it was told it has.
func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	var blobs []uint64
	var acknowledged, snapshot uint64
	for round := range 8 {
		cmd := child("append", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The kill meets the child wherever it is by then: it does not wait for its reader.
		patience := 1 + rand.IntN(40)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			what, number, _ := strings.Cut(lines.Text(), " ")
			n, err := strconv.ParseUint(number, 10, 64)
			if err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
			switch what {
			case "record":
				acknowledged = n
			case "snapshot":
				snapshot = n
			case "blob":
				blobs = append(blobs, n)
			}
			if patience--; patience == 0 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || patience > 0 {
			t.Fatalf("round %d: the child ended by itself: %v", round, err)
		}

		s, last, err := resume(dir)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if last < acknowledged {
			t.Errorf("round %d: records up to %d were acknowledged, up to %d are there", round, acknowledged, last)
		}
		if s.base.seq < snapshot {
			t.Errorf("round %d: the snapshot after %d was acknowledged, that after %d is there", round, snapshot, s.base.seq)
		}
		for _, n := range blobs {
			if _, err := s.Blob(sha256.Sum256(fmt.Appendf(nil, "blob %d", n))); err != nil {
				t.Errorf("round %d: blob %d was acknowledged: %v", round, n, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if half, err := filepath.Glob(filepath.Join(dir, blobDir, tempPrefix+"*")); err != nil || len(half) > 0 {
			t.Errorf("round %d: left behind: %v, %v", round, half, err)
		}
	}
	if acknowledged == 0 || len(blobs) == 0 {
		t.Errorf("the children did too little: record %d, %d blobs", acknowledged, len(blobs))
	}
}
