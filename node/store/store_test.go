package store

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	return openWith(t, dir, Options{})
}

func openWith(t *testing.T, dir string, opt Options) *Store {
	t.Helper()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, s.dir)
}

// rec is what record number seq says in these tests.
func rec(seq uint64) []byte { return fmt.Appendf(nil, "what was learnt as number %d", seq) }

// fill appends records first to last.
func fill(t *testing.T, s *Store, first, last uint64) {
	t.Helper()
	var batch [][]byte
	for seq := first; seq <= last; seq++ {
		batch = append(batch, rec(seq))
	}
	if err := s.Append(batch); err != nil {
		t.Fatal(err)
	}
}

// replayed replays and checks that every record says what its number says.
func replayed(t *testing.T, s *Store) ([]uint64, Report, error) {
	t.Helper()
	var got []uint64
	rep, err := s.Replay(func(seq uint64, b []byte) error {
		if !bytes.Equal(b, rec(seq)) {
			t.Errorf("record %d says %q", seq, b)
		}
		got = append(got, seq)
		return nil
	})
	if rep.Records != len(got) {
		t.Errorf("the report counts %d records, %d came", rep.Records, len(got))
	}
	return got, rep, err
}

func wantReplay(t *testing.T, s *Store, first, last uint64) {
	t.Helper()
	got, rep, err := replayed(t, s)
	if err != nil {
		t.Errorf("replay: %v", err)
	}
	var want []uint64
	for seq := first; seq <= last; seq++ {
		want = append(want, seq)
	}
	if !slices.Equal(got, want) || rep.After != first-1 || rep.Lost != 0 {
		t.Errorf("replayed %v after %d, lost %d; want %d to %d", got, rep.After, rep.Lost, first, last)
	}
}

func snap(t *testing.T, s *Store, content string) {
	t.Helper()
	if err := s.Snapshot(func(w io.Writer) error { _, err := io.WriteString(w, content); return err }); err != nil {
		t.Fatal(err)
	}
}

func wantSnapshot(t *testing.T, rc io.ReadCloser, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil || string(b) != want {
		t.Errorf("the snapshot says %q (%v), want %q", b, err, want)
	}
}

// wantError asks for an error of one line that is a sentinel and says certain things.
func wantError(t *testing.T, err, is error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("%q is not %q", err, is)
	}
	if !strings.HasPrefix(err.Error(), "store: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("not one line of ours: %q", err)
	}
	for _, say := range says {
		if !strings.Contains(err.Error(), say) {
			t.Errorf("%q does not say %q", err, say)
		}
	}
}

// A new folder is its owner's alone, and everything in it is there again after a restart.
func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "home")
	s := open(t, dir)
	if err := s.Put("ledger", "peer", []byte("7")); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 1, 3)
	snap(t, s, "three")
	fill(t, s, 4, 5)
	digest, err := s.PutBlob([]byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	key := s.Key()
	if runtime.GOOS != "windows" {
		for name, want := range map[string]os.FileMode{"": 0o700, blobDir: 0o700, keyFile: 0o600, indexFile: 0o600, lockFile: 0o600,
			filepath.Join(blobDir, hex.EncodeToString(digest[:])): 0o600} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != want {
				t.Errorf("%q has mode %o, want %o", name, info.Mode().Perm(), want)
			}
		}
	}

	s = reopen(t, s)
	if !s.Key().Equal(key) || len(s.Key()) != ed25519.PrivateKeySize {
		t.Error("the identity changed")
	}
	if v, err := s.Get("ledger", "peer"); err != nil || string(v) != "7" {
		t.Errorf("the table has %q, %v", v, err)
	}
	if b, err := s.Blob(digest); err != nil || string(b) != "body" {
		t.Errorf("the blob has %q, %v", b, err)
	}
	rc, err := s.LoadSnapshot()
	wantSnapshot(t, rc, err, "three")
	wantReplay(t, s, 4, 5)
}

func TestOpenRefuses(t *testing.T) {
	seeded := func() Options { return Options{Rand: bytes.NewReader(bytes.Repeat([]byte{7}, 32))} }
	t.Run("a key that others can read", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("files have no such mode here")
		}
		dir := t.TempDir()
		open(t, dir).Close()
		if err := os.Chmod(filepath.Join(dir, keyFile), 0o640); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, Options{})
		wantError(t, err, nil, "identity.key can be read by others (mode 0640)", "chmod 600")
		if err := os.Chmod(filepath.Join(dir, keyFile), 0o600); err != nil {
			t.Fatal(err)
		}
		open(t, dir) // and the folder is not left locked
	})
	t.Run("a missing key in a folder that has an identity", func(t *testing.T) {
		dir := t.TempDir()
		open(t, dir).Close()
		if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, Options{})
		wantError(t, err, nil, "identity.key is missing", "put the key back")
	})
	t.Run("another folder's key", func(t *testing.T) {
		one, other := t.TempDir(), t.TempDir()
		openWith(t, one, seeded()).Close()
		open(t, other).Close()
		b, err := os.ReadFile(filepath.Join(one, keyFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(other, keyFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = Open(other, Options{})
		wantError(t, err, nil, "not the key this folder was made with")
	})
	for name, content := range map[string][]byte{
		"no PEM":      []byte("secret"),
		"another PEM": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}),
		"no PKCS #8":  pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: []byte{1, 2}}),
		"nothing":     nil,
	} {
		t.Run("a key that is "+name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, keyFile), content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, Options{})
			wantError(t, err, nil, "identity.key", "put the right key back")
		})
	}
	t.Run("no randomness for a new identity", func(t *testing.T) {
		_, err := Open(t.TempDir(), Options{Rand: strings.NewReader("short")})
		wantError(t, err, io.ErrUnexpectedEOF, "new identity")
	})
	t.Run("a folder that is a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path, Options{})
		wantError(t, err, nil, path)
	})
	for name, spoil := range map[string]func(string) error{
		"text":      func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("dear diary\n", 9000)), 0o600) },
		"cut short": func(p string) error { return os.Truncate(p, 9000) },
		"zeros":     func(p string) error { return os.WriteFile(p, make([]byte, 64<<10), 0o600) },
	} {
		t.Run("an index that is "+name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			fill(t, s, 1, 200)
			s.Close()
			if err := spoil(filepath.Join(dir, indexFile)); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, Options{})
			wantError(t, err, ErrDamaged, "index.db", "move it away")
		})
	}
	t.Run("the index of another program", func(t *testing.T) {
		dir := t.TempDir()
		db, err := bolt.Open(filepath.Join(dir, indexFile), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
		_, err = Open(dir, Options{})
		wantError(t, err, ErrDamaged, "another program's")
	})
}

// The seed decides the identity, and an identity is never made anew.
func TestIdentityFromSeed(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, 32)
	s := openWith(t, t.TempDir(), Options{Rand: bytes.NewReader(seed)})
	if !s.Key().Equal(ed25519.NewKeyFromSeed(seed)) {
		t.Error("the key is not the seed's")
	}
	s.Close()
	s = openWith(t, s.dir, Options{Rand: strings.NewReader("")})
	if !s.Key().Equal(ed25519.NewKeyFromSeed(seed)) {
		t.Error("the key changed")
	}
}

func TestLockedAgainstASecondStore(t *testing.T) {
	s := open(t, t.TempDir())
	_, err := Open(s.dir, Options{})
	wantError(t, err, ErrInUse, "is in use by another yan-node", fmt.Sprintf("(pid %d)", os.Getpid()))
	fill(t, s, 1, 1) // and the first one does not mind
	s = reopen(t, s)
	wantReplay(t, s, 1, 1)
}

// Files that are not ours are neither read nor touched; what a crash left of ours goes.
func TestForeignFiles(t *testing.T) {
	s := open(t, t.TempDir())
	fill(t, s, 1, 1)
	snap(t, s, "kept")
	s.Close()
	foreign := map[string]string{
		"notes.txt":                         "mine",
		"index.db.bak":                      "old",
		"blobs/readme":                      "mine too",
		"blobs/x.snapshot":                  "no digest",
		"blobs/" + strings.Repeat("AB", 32): "a digest, but not as we write it",
	}
	leftover := []string{tempPrefix + "1", "blobs/" + tempPrefix + "2", "blobs/" + strings.Repeat("ab", 32) + snapshotSuffix}
	for name, content := range foreign {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range leftover {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, s.dir)
	for name, content := range foreign {
		if b, err := os.ReadFile(filepath.Join(s.dir, name)); err != nil || string(b) != content {
			t.Errorf("%s now has %q, %v", name, b, err)
		}
	}
	for _, name := range leftover {
		if _, err := os.Stat(filepath.Join(s.dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there (%v)", name, err)
		}
	}
	if list, err := s.Blobs(); err != nil || len(list) != 0 {
		t.Errorf("strangers are listed as blobs: %x, %v", list, err)
	}
	rc, err := s.LoadSnapshot()
	wantSnapshot(t, rc, err, "kept")
}

func TestTables(t *testing.T) {
	s := open(t, t.TempDir())
	if list, err := s.List("none"); err != nil || len(list) != 0 {
		t.Errorf("a table that is not there lists %v, %v", list, err)
	}
	_, err := s.Get("none", "k")
	wantError(t, err, ErrNone, "none/k")
	for _, k := range []string{"b", "a", "\xff", "c"} {
		if err := s.Put("t", k, []byte(k+k)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put("t", "c", []byte{}); err != nil { // replaces, and an empty value is one
		t.Fatal(err)
	}
	if err := s.Delete("t", "b"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("none", "k"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put("other", "a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	list, err := s.List("t")
	if got, want := fmt.Sprintf("%q %v", list, err), `[{"a" "aa"} {"c" ""} {"\xff" "\xff\xff"}] <nil>`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	_, err = s.Get("t", "b")
	wantError(t, err, ErrNone)
	if v, err := s.Get("t", "c"); err != nil || v == nil || len(v) != 0 {
		t.Errorf("the empty value is %v, %v", v, err)
	}
	wantError(t, s.Put("", "k", nil), nil, "put /k")
	wantError(t, s.Put("t", "", nil), nil, "1 to")
	wantError(t, s.Put("t", strings.Repeat("k", bolt.MaxKeySize+1), nil), nil, "1 to")
}

func TestPeerBook(t *testing.T) {
	s := open(t, t.TempDir())
	if got := s.PeerBook().Load(); got != nil {
		t.Errorf("a new book has %q", got)
	}
	want := []string{"/ip4/10.0.0.2/tcp/7410", "/ip4/10.0.0.1/tcp/7410"}
	if err := s.PeerBook().Save(want); err != nil {
		t.Fatal(err)
	}
	wantError(t, s.PeerBook().Save([]string{"a\nb"}), nil, "more than one line")
	wantError(t, s.PeerBook().Save([]string{""}), nil, "empty")
	s = reopen(t, s)
	if got := s.PeerBook().Load(); !slices.Equal(got, want) {
		t.Errorf("the book has %q, want %q", got, want)
	}
	if err := s.PeerBook().Save(nil); err != nil {
		t.Fatal(err)
	}
	if got := s.PeerBook().Load(); got != nil {
		t.Errorf("an emptied book has %q", got)
	}
}

func TestBlobs(t *testing.T) {
	s := open(t, t.TempDir())
	var all [][32]byte
	for _, body := range []string{"one", "two", ""} {
		d, err := s.PutBlob([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := s.Blob(d); err != nil || string(b) != body {
			t.Errorf("put %q, got %q, %v", body, b, err)
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	if list, err := s.Blobs(); err != nil || !slices.Equal(list, all) {
		t.Errorf("listed %x, %v, want %x", list, err, all)
	}

	d, err := s.PutBlob([]byte("one")) // again is no change
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, blobDir, hex.EncodeToString(d[:]))
	if err := os.WriteFile(path, []byte("0ne"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.Blob(d)
	wantError(t, err, ErrDamaged, path, "fetch it again")
	if _, err := s.PutBlob([]byte("one")); err != nil { // and putting it mends it
		t.Fatal(err)
	}
	if b, err := s.Blob(d); err != nil || string(b) != "one" {
		t.Errorf("after mending: %q, %v", b, err)
	}
	for range 2 {
		if err := s.DropBlob(d); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.Blob(d)
	wantError(t, err, ErrNone, hex.EncodeToString(d[:4]))
}

// A dropped body stays for as long as a record may need it: through a restart, and until the
// snapshot that the node could have to fall back to is later than the drop.
func TestDroppedBlobOutlivesTheLog(t *testing.T) {
	s := open(t, t.TempDir())
	put := func(body string) [32]byte {
		t.Helper()
		d, err := s.PutBlob([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d, back := put("dropped"), put("put again")
	fill(t, s, 1, 1) // says to fold the body, say
	for _, b := range [][32]byte{d, back} {
		if err := s.DropBlob(b); err != nil {
			t.Fatal(err)
		}
	}
	put("put again")
	fill(t, s, 2, 2)
	for stage := range 3 {
		if list, err := s.Blobs(); err != nil || !slices.Equal(list, [][32]byte{back}) {
			t.Errorf("stage %d: listed %x, %v", stage, list, err)
		}
		s = reopen(t, s)
		_, err := s.Blob(d)
		if stage < 2 && err != nil {
			t.Errorf("stage %d: a record may need it: %v", stage, err)
		}
		if stage == 2 {
			wantError(t, err, ErrNone)
		}
		if b, err := s.Blob(back); err != nil || string(b) != "put again" {
			t.Errorf("stage %d: %q, %v", stage, b, err)
		}
		snap(t, s, fmt.Sprint("stage ", stage))
		fill(t, s, uint64(stage)+3, uint64(stage)+3)
	}
}

func TestClosed(t *testing.T) {
	s := open(t, t.TempDir())
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, getErr := s.Get("t", "k")
	_, listErr := s.List("t")
	_, putErr := s.PutBlob(nil)
	_, blobErr := s.Blob([32]byte{})
	_, blobsErr := s.Blobs()
	_, loadErr := s.LoadSnapshot()
	_, replayErr := s.Replay(func(uint64, []byte) error { return nil })
	for what, err := range map[string]error{
		"Append": s.Append([][]byte{{1}}), "Put": s.Put("t", "k", nil), "Get": getErr, "List": listErr, "Delete": s.Delete("t", "k"),
		"PutBlob": putErr, "Blob": blobErr, "Blobs": blobsErr, "DropBlob": s.DropBlob([32]byte{}), "LoadSnapshot": loadErr, "Replay": replayErr,
		"Snapshot": s.Snapshot(func(io.Writer) error { return nil }),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
}

// Goroutines that append, snapshot and read at once leave a log without a gap.
func TestConcurrentUse(t *testing.T) {
	s := open(t, t.TempDir())
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 10 {
				if err := s.Append([][]byte{{byte(g)}, {byte(i)}}); err != nil {
					t.Error(err)
				}
				if err := s.Put("t", fmt.Sprint(g), []byte{byte(i)}); err != nil {
					t.Error(err)
				}
				if g == 0 && i%4 == 0 {
					if err := s.Snapshot(func(w io.Writer) error { _, err := w.Write([]byte{byte(i)}); return err }); err != nil {
						t.Error(err)
					}
				}
				if _, err := s.List("t"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s = reopen(t, s)
	var last uint64
	rep, err := s.Replay(func(seq uint64, _ []byte) error { last = seq; return nil })
	if err != nil || last != 80 || int(rep.After)+rep.Records != 80 {
		t.Errorf("the log ends at %d, report %+v, %v", last, rep, err)
	}
}

// A step that fails names the reason and changes nothing; ErrFull is told apart, by its own name
// and by the system's.
func TestFaults(t *testing.T) {
	for _, reason := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		if runtime.GOOS == "windows" && reason != syscall.EIO {
			continue // the system has other numbers for these
		}
		for _, step := range []string{"create", "write", "sync", "rename", "syncdir", "commit"} {
			t.Run(fmt.Sprintf("%s/%v", step, reason), func(t *testing.T) {
				failing := false
				s := openWith(t, t.TempDir(), Options{fault: func(at, path string) error {
					if failing && at == step {
						return &os.PathError{Op: at, Path: path, Err: reason}
					}
					return nil
				}})
				fill(t, s, 1, 3)
				snap(t, s, "three")
				fill(t, s, 4, 5)
				if err := s.Put("t", "k", []byte("old")); err != nil {
					t.Fatal(err)
				}
				blob, err := s.PutBlob([]byte("old"))
				if err != nil {
					t.Fatal(err)
				}

				failing = true
				errs := map[string]error{}
				if step == "commit" {
					errs["append"] = s.Append([][]byte{rec(6)})
					errs["put"] = s.Put("t", "k", []byte("new"))
					errs["delete"] = s.Delete("t", "k")
				} else {
					_, errs["put blob"] = s.PutBlob([]byte("new"))
				}
				// What write says does not hide the reason.
				errs["snapshot"] = s.Snapshot(func(w io.Writer) error {
					if _, err := w.Write(make([]byte, 3<<20)); err != nil {
						return errors.New("could not encode")
					}
					return nil
				})
				for what, err := range errs {
					wantError(t, err, reason, what)
					if full := reason != syscall.EIO; errors.Is(err, ErrFull) != full || errors.Is(err, syscall.ENOSPC) != full {
						t.Errorf("%s: %q: ErrFull %v, ENOSPC %v", what, err, errors.Is(err, ErrFull), errors.Is(err, syscall.ENOSPC))
					}
				}

				check := func() {
					t.Helper()
					if v, err := s.Get("t", "k"); err != nil || string(v) != "old" {
						t.Errorf("the table has %q, %v", v, err)
					}
					if b, err := s.Blob(blob); err != nil || string(b) != "old" {
						t.Errorf("the blob has %q, %v", b, err)
					}
					rc, err := s.LoadSnapshot()
					wantSnapshot(t, rc, err, "three")
					wantReplay(t, s, 4, 5)
				}
				check() // while the fault lasts
				s = reopen(t, s)
				check() // and after a restart
				files, err := os.ReadDir(filepath.Join(s.dir, blobDir))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range files {
					if strings.HasPrefix(f.Name(), tempPrefix) {
						t.Errorf("%s was left behind", f.Name())
					}
				}
				fill(t, s, 6, 6) // and it goes on once there is room
				snap(t, s, "six")
			})
		}
	}
}

// A folder that could not be made whole the first time can be made the next time.
func TestFaultsWhileOpening(t *testing.T) {
	dir := t.TempDir()
	for n := 1; ; n++ {
		steps := 0
		s, err := Open(dir, Options{fault: func(string, string) error {
			if steps++; steps == n {
				return syscall.ENOSPC
			}
			return nil
		}})
		if err != nil {
			wantError(t, err, ErrFull, dir)
			continue
		}
		fill(t, s, 1, 2)
		wantReplay(t, s, 1, 2)
		s.Close()
		if n < 4 {
			t.Errorf("opening a new folder took only %d steps", n-1)
		}
		return
	}
}
