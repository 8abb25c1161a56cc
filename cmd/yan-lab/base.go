package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/model"
)

// A nursery trains bases, and keeps them in a folder so that the next run finds them there.
type nursery struct {
	folder string
	shape  model.Config
	bytes  int64
	stderr io.Writer
}

// newNursery keeps its bases in folder, or in the user's folder for caches if that is empty.
func newNursery(folder string, shape model.Config, bytes int64, stderr io.Writer) (*nursery, error) {
	if folder == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("no folder to keep trained bases in: %w: name one with --cache", err)
		}
		folder = filepath.Join(user, "yan-lab")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("--cache %s: cannot be made: %w", folder, err)
	}
	return &nursery{folder, shape, bytes, stderr}, nil
}

// base returns a base of the given seed that was trained on text and nothing else.
func (n *nursery) base(ctx context.Context, name string, text []byte, seed uint64) (*model.Model, error) {
	cfg := learning.TrainConfig{Model: n.shape, Bytes: n.bytes, Rate: 0.003, Seed: seed}
	j, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(n.folder, fmt.Sprintf("base-%x.safetensors", sha256.Sum256(append(j, text...)))[:64])
	b, err := os.ReadFile(path)
	if err == nil {
		return model.Load(b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	t, err := learning.NewTrainer(cfg, []learning.Source{{Name: name, Text: text}})
	if err != nil {
		return nil, err
	}
	defer t.Close()
	p := ui.NewProgress(n.stderr, fmt.Sprintf("training a base on %s, seed %d", name, seed), n.bytes, "B")
	defer p.Done()
	for !t.Done() {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		t.Step()
		p.Set(t.Seen)
	}
	m, err := t.Finish(false)
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	if err := m.Write(&file, false, nil); err != nil {
		return nil, err
	}
	return m, ui.WriteFile(path, file.Bytes())
}
