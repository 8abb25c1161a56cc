// Package base holds the models that ship with the project: what a new device knows on its first day.
//
// Embedded is the base of every node; Pocket is a small one for worlds of many devices and for tests,
// which has never read the texts that those learn. Both are checkpoints in this folder, with the
// commands, the data and the licences that made them in README.md. The package only hands them out.
package base

import (
	_ "embed"
	"sync"

	"github.com/yanmesh/yan/model"
)

//go:embed base.safetensors
var baseFile []byte

//go:embed pocket.safetensors
var pocketFile []byte

// Embedded returns the base that is embedded in the node. All callers share it: it is only read.
func Embedded() *model.Model { return embedded() }

// Pocket returns the small base. All callers share it: it is only read.
func Pocket() *model.Model { return pocket() }

var (
	embedded = sync.OnceValue(func() *model.Model { return must(model.Load(baseFile)) })
	pocket   = sync.OnceValue(func() *model.Model { return must(model.Load(pocketFile)) })
)

func must(m *model.Model, err error) *model.Model {
	if err != nil {
		panic("base: what was built in is damaged: " + err.Error())
	}
	return m
}
