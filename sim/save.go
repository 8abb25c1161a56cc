package sim

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/yanmesh/yan/learning"
	"github.com/yanmesh/yan/protocol"
)

// A saved world is what its devices have on their disks, and what its users have said. What is under way between devices is lost, as it is
// where power is cut: so a save point is a moment at which everyone's power is cut and everyone starts again from its disk, in the world that
// was saved as in the one that goes on from it. Both then go on alike.
//
// A file is a sequence of pieces, each behind its length, and the SHA-256 of all of them at the end: the head, the bodies of updates, each once
// however many hold it, and of each device its state, its snapshot and its records since.

const (
	savedMagic   = "yan world\n"
	savedVersion = 1
	maxPiece     = 64 << 20 // no piece is longer
	maxPieces    = 1 << 24  // bodies, or records of one device
)

// ErrSaved is returned for what is no saved world, or is damaged; ErrOther for one that was saved of other devices or settings.
var (
	ErrSaved = errors.New("sim: not a saved world, or a damaged one")
	ErrOther = errors.New("sim: it was saved of a world with other devices or settings")
)

// A savedHead is the first piece.
type savedHead struct {
	Version int           `json:"version"`
	Seed    uint64        `json:"seed"`
	Options string        `json:"options"` // see Options.digest
	At      time.Duration `json:"at"`
	Events  uint64        `json:"events"`
	Devices int           `json:"devices"`
	Bodies  int           `json:"bodies"`
	Cuts    []savedCut    `json:"cuts,omitempty"`
}

type savedCut struct {
	Active bool         `json:"active,omitempty"`
	Over   bool         `json:"over,omitempty"`
	Half   [2]savedHalf `json:"half"`
}

type savedHalf struct{ Said, Learnt, Due, Folds int }

// A savedDevice is all that is kept of a device, but for its disk.
type savedDevice struct {
	Begun   bool                 `json:"begun,omitempty"`
	Up      bool                 `json:"up,omitempty"`
	Disk    bool                 `json:"disk,omitempty"` // it may stop, and so writes a journal
	Life    int                  `json:"life,omitempty"`
	Next    int                  `json:"next,omitempty"`
	Place   int                  `json:"place,omitempty"`
	Back    time.Duration        `json:"back,omitempty"`
	Off     time.Duration        `json:"off,omitempty"`
	Sent    uint64               `json:"sent,omitempty"`
	Moved   uint64               `json:"moved,omitempty"`
	Merges  int                  `json:"merges,omitempty"`
	Traffic []Traffic            `json:"traffic"`
	Lies    map[uint64][]byte    `json:"lies,omitempty"` // frames
	First   []byte               `json:"first,omitempty"`
	Shunned []protocol.PeerID    `json:"shunned,omitempty"`
	Folds   []savedFolds         `json:"folds,omitempty"`
	Proved  []savedVerdicts      `json:"proved,omitempty"`
	Said    map[uint64]hexDigest `json:"said,omitempty"`
	Own     map[string]uint64    `json:"own,omitempty"`
	Seq     uint64               `json:"seq,omitempty"`
	Blobs   []int                `json:"blobs,omitempty"` // bodies on its disk, by their places
	Records int                  `json:"records,omitempty"`

	journal *journal
}

type savedFolds struct {
	Author protocol.PeerID
	Seq    uint64
	Times  int
}

type savedVerdicts struct {
	Author protocol.PeerID
	Of     [protocol.Harmful + 1]int
	Late   int
	Gain   int64
}

type hexDigest protocol.Digest

func (d hexDigest) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(d[:])), nil }

func (d *hexDigest) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(d) {
		return errors.New("a digest of another length")
	}
	_, err := hex.Decode(d[:], b)
	return err
}

type saved struct {
	head    savedHead
	devices []savedDevice
}

// digest tells worlds with different devices or settings apart. How they are watched does not matter.
func (o Options) digest() (string, error) {
	x := o.Exchange
	b, err := json.Marshal(struct {
		Base     [32]byte
		Devices  []Device
		Learning learning.Config
		Exchange []any
		Links    Links
		Faults   Faults
		Talk     time.Duration
		Asked    *Examples
		Numbers  []int
	}{
		o.Base.Fingerprint(), o.Devices, o.Learning, []any{x.Interval, x.Fanout, x.MaxHeld, x.MaxLive, x.Versions, x.Central, x.MergeFrom},
		o.Links, o.Faults, o.Talk, o.Asked, []int{o.Features, o.Degree, o.Updates},
	})
	if err != nil {
		return "", fmt.Errorf("sim: save: %w", err)
	}
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:]), nil
}

// Save writes the world to where [Resume] reads it, and goes on from what it wrote: everyone's power is cut, and everyone starts again from its
// disk. It is for the storm; a world that was calmed is not saved any more. After an error the world is as it was.
func (w *World) Save(out io.Writer) error {
	if w.calm {
		return errors.New("sim: the storm is over: a world is saved before that")
	}
	s, err := w.freeze()
	if err != nil {
		return err
	}
	if err := s.write(out); err != nil {
		return fmt.Errorf("sim: save: %w", err)
	}
	sabotage, opt, seed := w.sabotage, w.opt, w.seed
	*w = World{seed: seed, opt: opt, sabotage: sabotage}
	return w.begin(s)
}

// Resume reads what Save wrote of a world with the same devices and settings, and returns the world as it went on from there.
func Resume(r io.Reader, opt Options) (*World, error) {
	opt = opt.withDefaults()
	if err := opt.check(); err != nil {
		return nil, err
	}
	digest, err := opt.digest()
	if err != nil {
		return nil, err
	}
	s, err := readSaved(r, len(opt.Devices), digest)
	if err != nil {
		return nil, err
	}
	w := &World{seed: s.head.Seed, opt: opt}
	return w, w.begin(s)
}

// freeze takes everyone's disk.
func (w *World) freeze() (*saved, error) {
	digest, err := w.opt.digest()
	if err != nil {
		return nil, err
	}
	s := &saved{head: savedHead{Version: savedVersion, Seed: w.seed, Options: digest, At: w.Now(), Events: w.Events(), Devices: len(w.devices)}}
	for _, c := range w.cuts {
		var sc savedCut
		sc.Active, sc.Over = c.active, c.over
		for i, h := range c.half {
			sc.Half[i] = savedHalf{h.said, h.learnt, h.due, h.folds}
		}
		s.head.Cuts = append(s.head.Cuts, sc)
	}
	for _, d := range w.devices {
		sd, err := d.freeze()
		if err != nil {
			return nil, fmt.Errorf("sim: save: device %s: %w", d.opt.Name, err)
		}
		s.devices = append(s.devices, sd)
	}
	return s, nil
}

func (d *device) freeze() (s savedDevice, err error) {
	s = savedDevice{
		Begun: d.begun, Up: d.up, Disk: d.disk != nil, Life: d.life, Next: d.next, Place: d.place, Sent: d.sent, Moved: d.moved, Merges: d.merges,
		Traffic: d.traffic[:], First: d.first, Own: d.saw.own, Seq: d.saw.seq, journal: d.disk,
	}
	if !d.back.IsZero() {
		s.Back = d.back.Sub(Genesis)
	}
	if !d.off.IsZero() {
		s.Off = d.off.Sub(Genesis)
	}
	if d.node != nil {
		s.journal = newJournal()
		for _, u := range d.node.Conversation().Live() {
			s.journal.blobs[u.Digest] = u.Body
		}
		if err := s.journal.settle(d.node); err != nil {
			return s, err
		}
	}
	if d.lies != nil {
		s.Lies = map[uint64][]byte{}
		for seq, u := range d.lies {
			if s.Lies[seq], err = protocol.Encode(u); err != nil {
				return s, err
			}
		}
	}
	for a := range d.shunned {
		s.Shunned = append(s.Shunned, a)
	}
	slices.Sort(s.Shunned)
	for id, n := range d.saw.folds {
		s.Folds = append(s.Folds, savedFolds{id.Author, id.Seq, n})
	}
	slices.SortFunc(s.Folds, func(a, b savedFolds) int {
		return protocol.UpdateID{Author: a.Author, Seq: a.Seq}.Compare(protocol.UpdateID{Author: b.Author, Seq: b.Seq})
	})
	for a, v := range d.saw.verdicts {
		s.Proved = append(s.Proved, savedVerdicts{a, v.of, v.late, v.gain})
	}
	slices.SortFunc(s.Proved, func(a, b savedVerdicts) int { return bytes.Compare([]byte(a.Author), []byte(b.Author)) })
	if d.saw.said != nil {
		s.Said = map[uint64]hexDigest{}
		for seq, name := range d.saw.said {
			s.Said[seq] = hexDigest(name)
		}
	}
	return s, nil
}

// thaw puts a device where it stood. It is down until the world begins.
func (d *device) thaw(s *savedDevice) error {
	if s.Next < 0 || s.Next > d.turns() || s.Place < 0 || s.Life < 0 || s.Back < 0 || s.Off < 0 || len(s.Traffic) != len(d.traffic) {
		return fmt.Errorf("%w: device %s: out of range", ErrSaved, d.opt.Name)
	}
	d.begun, d.life, d.next, d.place, d.sent, d.moved, d.merges, d.first = s.Begun, s.Life, s.Next, s.Place, s.Sent, s.Moved, s.Merges, s.First
	d.back, d.off = Genesis.Add(s.Back), Genesis.Add(s.Off)
	copy(d.traffic[:], s.Traffic)
	d.saw.own, d.saw.seq = s.Own, s.Seq
	d.kept = s.journal
	if s.Disk {
		d.disk = s.journal
	}
	for seq, frame := range s.Lies {
		m, err := protocol.Decode(frame)
		u, ok := m.(*protocol.Update)
		if err != nil || !ok {
			return fmt.Errorf("%w: device %s: a lie that is no update", ErrSaved, d.opt.Name)
		}
		if d.lies == nil {
			d.lies = map[uint64]*protocol.Update{}
		}
		d.lies[seq] = u
	}
	for _, a := range s.Shunned {
		if d.shunned == nil {
			d.shunned = map[protocol.PeerID]bool{}
		}
		d.shunned[a] = true
	}
	for _, f := range s.Folds {
		if d.saw.folds == nil {
			d.saw.folds = map[protocol.UpdateID]int{}
		}
		d.saw.folds[protocol.UpdateID{Author: f.Author, Seq: f.Seq}] = f.Times
	}
	for _, v := range s.Proved {
		if d.saw.verdicts == nil {
			d.saw.verdicts = map[protocol.PeerID]*verdicts{}
		}
		d.saw.verdicts[v.Author] = &verdicts{v.Of, v.Late, v.Gain}
	}
	for seq, name := range s.Said {
		if d.saw.said == nil {
			d.saw.said = map[uint64]protocol.Digest{}
		}
		d.saw.said[seq] = protocol.Digest(name)
	}
	if d.saw.said != nil && d.saw.own == nil {
		d.saw.own = map[string]uint64{}
	}
	return nil
}

// goOn switches on who was up, and sees to it that who is down comes back.
func (w *World) goOn(s *saved) {
	w.say(nil, "everyone's power was cut; who was up starts from its disk")
	for i, d := range w.devices {
		switch {
		case s.devices[i].Up:
			d.powerOn("is back")
		case d.begun:
			w.planAt(d.back.Sub(Genesis), d.restart)
		}
	}
	for i, c := range w.cuts {
		c.active, c.over = s.head.Cuts[i].Active, s.head.Cuts[i].Over
		for k, h := range s.head.Cuts[i].Half {
			c.half[k] = half{said: h.Said, learnt: h.Learnt, due: h.Due, folds: h.Folds}
		}
	}
}

// recollect has a device that has started know what its disk knows of updates that came.
func (d *device) recollect() {
	for _, u := range d.node.Conversation().Live() {
		d.last[lineageOf(u)] = u
		d.w.common.offer(u)
	}
}

// write writes a saved world.
func (s *saved) write(out io.Writer) error {
	places := map[[32]byte]int{}
	var bodies [][]byte
	for i := range s.devices {
		d := &s.devices[i]
		d.Blobs, d.Records = nil, 0
		if d.journal == nil {
			continue
		}
		d.Records = len(d.journal.records)
		digests, err := d.journal.Blobs()
		if err != nil {
			return err
		}
		for _, digest := range digests {
			at, known := places[digest]
			if !known {
				at = len(bodies)
				places[digest] = at
				bodies = append(bodies, d.journal.blobs[digest])
			}
			d.Blobs = append(d.Blobs, at)
		}
	}
	s.head.Bodies = len(bodies)

	w := &pieces{out: bufio.NewWriterSize(out, 1<<16), sum: sha256.New()}
	w.bytes([]byte(savedMagic))
	w.json(s.head)
	for _, b := range bodies {
		w.piece(b)
	}
	for i := range s.devices {
		d := &s.devices[i]
		w.json(d)
		if d.journal == nil {
			w.piece(nil)
			continue
		}
		w.piece(d.journal.snapshot)
		for _, r := range d.journal.records {
			w.piece(r)
		}
	}
	if w.err == nil {
		_, w.err = w.out.Write(w.sum.Sum(nil))
	}
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

// pieces writes pieces until one fails.
type pieces struct {
	out *bufio.Writer
	sum hash.Hash
	err error
}

func (p *pieces) bytes(b []byte) {
	if p.err != nil {
		return
	}
	p.sum.Write(b)
	_, p.err = p.out.Write(b)
}

func (p *pieces) piece(b []byte) {
	if len(b) > maxPiece && p.err == nil {
		p.err = fmt.Errorf("a piece of %d bytes", len(b))
	}
	p.bytes(binary.LittleEndian.AppendUint32(nil, uint32(len(b))))
	p.bytes(b)
}

func (p *pieces) json(v any) {
	b, err := json.Marshal(v)
	if err != nil && p.err == nil {
		p.err = err
	}
	p.piece(b)
}

// readSaved reads a saved world of so many devices and these options. It trusts nothing, and holds no more than it was given.
func readSaved(from io.Reader, devices int, options string) (*saved, error) {
	bad := func(format string, a ...any) (*saved, error) {
		return nil, fmt.Errorf("%w: %s", ErrSaved, fmt.Sprintf(format, a...))
	}
	sum := sha256.New()
	in := bufio.NewReaderSize(from, 1<<16)
	r := io.TeeReader(in, sum)
	magic := make([]byte, len(savedMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != savedMagic {
		return bad("it begins with %q", magic)
	}
	s := new(saved)
	b, err := readPiece(r)
	if err == nil {
		err = json.Unmarshal(b, &s.head)
	}
	h := &s.head
	switch {
	case err != nil:
		return bad("its head: %v", err)
	case h.Version != savedVersion:
		return bad("version %d, and this is %d", h.Version, savedVersion)
	case h.Devices != devices:
		return nil, fmt.Errorf("%w: %d devices, and here are %d", ErrOther, h.Devices, devices)
	case h.Options != options:
		return nil, ErrOther
	case h.At < 0 || h.At > 1<<60 || h.Bodies < 0 || h.Bodies > maxPieces:
		return bad("out of range")
	}
	bodies, err := readPieces(r, h.Bodies)
	if err != nil {
		return bad("its bodies: %v", err)
	}
	digests := make([][32]byte, len(bodies))
	for i, b := range bodies {
		digests[i] = sha256.Sum256(b)
	}
	for i := range h.Devices {
		d, err := readDevice(r, bodies, digests)
		if err != nil {
			return bad("device %d: %v", i, err)
		}
		s.devices = append(s.devices, d)
	}
	want := sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, want) {
		return bad("its bytes have changed")
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return bad("something comes after its end")
	}
	return s, nil
}

func readDevice(r io.Reader, bodies [][]byte, digests [][32]byte) (d savedDevice, err error) {
	b, err := readPiece(r)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return d, err
	}
	j := newJournal()
	if j.snapshot, err = readPiece(r); err != nil {
		return d, err
	}
	if d.Records < 0 || d.Records > maxPieces {
		return d, errors.New("out of range")
	}
	if j.records, err = readPieces(r, d.Records); err != nil {
		return d, err
	}
	for _, rec := range j.records {
		j.gathered += len(rec)
	}
	for _, at := range d.Blobs {
		if at < 0 || at >= len(bodies) {
			return d, errors.New("a body that is not there")
		}
		j.blobs[digests[at]] = bodies[at]
	}
	if len(j.snapshot) == 0 {
		j.snapshot = nil
	}
	if d.Begun || d.Disk {
		d.journal = j
	}
	return d, nil
}

func readPieces(r io.Reader, n int) (all [][]byte, err error) {
	for range n {
		b, err := readPiece(r)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// readPiece takes memory as bytes come, however many are announced.
func readPiece(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n > maxPiece {
		return nil, fmt.Errorf("a piece of %d bytes", n)
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
