// Package learning is how a mind changes.
//
// A [Learner] owns the changeable part of a mind: it predicts every event before it sees it, and a chunk
// of events later writes what it learnt into sections that were grown on this device, and into nothing
// else. Such sections stand in banks; to the owner a bank is a [Skill]. A [Trainer] makes a base from
// data, and [SolveGate] says in which contexts a bank speaks, so that what was known before stays.
// [Learner.Fold] takes in a skill that another device learnt, tries it on this owner's own recent
// events, and undoes it if it does harm.
//
// The package is pure: events go in, numbers come out, chance comes from a seed. It knows nothing of
// peers, disks and clocks. Nothing here is safe for concurrent use.
package learning
