package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func init() { children["full"] = fillDisk }

// A disk that is really full, 2 MiB of tmpfs in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	cmd := child("full", t.TempDir())
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	err := cmd.Start()
	if err == nil {
		err = cmd.Wait()
	}
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSPC),
		bytes.Contains(said.Bytes(), []byte(noMount)):
		t.Skipf("this system gives tests no disk of their own: %v %s", err, said.Bytes())
	case err != nil:
		t.Errorf("%v: %s", err, said.Bytes())
	}
}

const noMount = "cannot mount"

// fillDisk is the child: it returns what is wrong.
func fillDisk(dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		return fmt.Errorf("%s: %w", noMount, err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 512<<10), 0o600); err != nil {
		return err
	}
	home := filepath.Join(dir, "home")
	s, err := Open(home, Options{})
	if err != nil {
		return err
	}
	full := func(what string, err error) error {
		if !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("%s on a full disk: %v", what, err)
		}
		return nil
	}
	record := func(seq uint64) []byte { return bytes.Repeat([]byte{byte(seq)}, 3000) }
	check := func(s *Store, last uint64) error {
		rep, err := s.Replay(func(seq uint64, b []byte) error {
			if !bytes.Equal(b, record(seq)) {
				return fmt.Errorf("record %d is another", seq)
			}
			return nil
		})
		if err != nil || uint64(rep.Records) < last {
			return fmt.Errorf("%d records were acknowledged, %d are there: %w", last, rep.Records, err)
		}
		v, err := s.Get("t", "k")
		if err != nil || string(v) != "kept" {
			return fmt.Errorf("the table has %q: %w", v, err)
		}
		return nil
	}
	if err := s.Put("t", "k", []byte("kept")); err != nil {
		return err
	}
	var last uint64
	for err = nil; err == nil; {
		if err = s.Append([][]byte{record(last + 1), record(last + 2)}); err == nil {
			last += 2
		}
	}
	if err := full("append", err); err != nil {
		return err
	}
	if last < 50 {
		return fmt.Errorf("the disk was full after %d records", last)
	}
	_, err = s.PutBlob(make([]byte, 1<<20))
	if err := full("put blob", err); err != nil {
		return err
	}
	err = s.Snapshot(func(w io.Writer) error { _, err := w.Write(make([]byte, 4<<20)); return err })
	if err := full("snapshot", err); err != nil {
		return err
	}
	if _, err := Open(filepath.Join(dir, "second"), Options{}); full("open", err) != nil {
		return full("open", err)
	}
	if err := check(s, last); err != nil {
		return fmt.Errorf("while the disk is full: %w", err)
	}
	// What a failed call left may or may not be there, but no call that is repeated may clash with it.
	for range 20 {
		if err := s.Append([][]byte{record(last + 1), record(last + 2)}); err == nil {
			last += 2
		} else if err := full("append again", err); err != nil {
			return err
		}
	}

	if err := os.Remove(ballast); err != nil {
		return err
	}
	if err := s.Append([][]byte{record(last + 1)}); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	last++
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = Open(home, Options{}); err != nil {
		return err
	}
	if err := check(s, last); err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	if err := s.Snapshot(func(w io.Writer) error { _, err := w.Write(make([]byte, 1000)); return err }); err != nil {
		return err
	}
	second, err := Open(filepath.Join(dir, "second"), Options{})
	if err != nil {
		return fmt.Errorf("a folder that was begun on a full disk: %w", err)
	}
	return errors.Join(second.Close(), s.Close())
}
