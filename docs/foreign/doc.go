// Package foreign is a second implementation of a peer, written from docs/protocol.md and the golden frames alone, and a
// conversation of it with a mesh of ours. It shares no code with what it talks to: its frames, signatures and
// transfers are its own, so that what the document leaves open shows.
//
// It is all in its tests. It is a device that keeps no list of members: it says no to whoever asks for a place in
// its cell, and talks as a neighbour.
package foreign
