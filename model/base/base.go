// Package base holds the models that ship with the project: what a new device knows on its first day.
//
// Embedded is the base of every node; Pocket is a small one for worlds of many devices and for tests, and Tiny one for worlds of
// thousands. Neither of those has read the texts that are learnt there. All are checkpoints in this folder, with the
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

//go:embed tiny.safetensors
var tinyFile []byte

// Embedded returns the base that is embedded in the node. All callers share it: it is only read.
func Embedded() *model.Model { return embedded() }

// Pocket returns the small base. All callers share it: it is only read.
func Pocket() *model.Model { return pocket() }

// Tiny returns the smallest base. All callers share it: it is only read.
func Tiny() *model.Model { return tiny() }

var (
	embedded = sync.OnceValue(func() *model.Model { return must(model.Load(baseFile)) })
	pocket   = sync.OnceValue(func() *model.Model { return must(model.Load(pocketFile)) })
	tiny     = sync.OnceValue(func() *model.Model { return must(model.Load(tinyFile)) })
)

func must(m *model.Model, err error) *model.Model {
	if err != nil {
		panic("base: what was built in is damaged: " + err.Error())
	}
	return m
}
