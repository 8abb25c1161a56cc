// Package protocol is what peers say to one another, and how it looks on the wire.
//
// A [Message] is one of twelve kinds. Two peers that meet say [Hello], then each says what it has
// ([Have]) and asks for what it wants ([Want]). What is exchanged is an [Update]: a signed claim
// that some opaque bytes make a skill better. Its head, an [Announce], can be judged without the
// body. Whoever tried an update tells its author what it proved to be worth ([Answer]). A peer whose turn it is to be
// central signs a [Record] of what it merged, with an [Align] for its head; one who finds it false says so ([Convict]). Who has
// a skill that is to leave it in no other way than hidden in a sum says so ([Offer]); a [Call] begins one, of which the rest is said in [Part]s.
//
// [Decode] never trusts bytes: a frame that is too long, too deep, or claims to hold more than it
// does is refused before anything is allocated for it, and what it returns keeps every limit that
// stands in this package. A signature is another matter: Decode does not look at it, and
// [Announce.Verify] and [Update.Verify] do.
//
// The package does no I/O, knows nothing of what a body holds, and imports nothing of ours.
package protocol

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strings"
)

// Version is the version of the conversation that this code speaks. A later version may add kinds
// and fields, which an earlier one skips, so a newer peer is still worth talking to.
//
// Version 2 knows Have.Sum: whoever says it in a Hello may be told of a set by its digest alone.
const Version = 2

// The limits of what a message may hold. Encode refuses to exceed them and Decode refuses what does.
const (
	MaxAgent  = 64      // bytes in Hello.Agent
	MaxSkill  = 64      // bytes in Announce.Skill
	MaxHave   = 1024    // ids in a Have
	MaxWant   = 64      // ids in a Want
	MaxBody   = 4 << 20 // bytes in Update.Body
	maxPeerID = 64      // bytes in a PeerID
)

// An UpdateID names one update for ever: who made it, and how many its author had made up to then,
// counting from one. Both halves are fixed by the author's signature.
type UpdateID struct {
	Author PeerID
	Seq    uint64
}

// Compare orders ids by author, then by sequence.
func (id UpdateID) Compare(o UpdateID) int {
	return cmp.Or(cmp.Compare(id.Author, o.Author), cmp.Compare(id.Seq, o.Seq))
}

func (id UpdateID) String() string { return fmt.Sprintf("%s/%d", id.Author.Short(), id.Seq) }

// A Kind says which message a frame holds. Kinds are never reused: 13 to 15 are set aside for asking
// for skills.
type Kind uint8

const (
	KindHello    Kind = 1
	KindHave     Kind = 2
	KindWant     Kind = 3
	KindAnnounce Kind = 4
	KindUpdate   Kind = 5
	KindAnswer   Kind = 6
	KindAlign    Kind = 7
	KindRecord   Kind = 8
	KindConvict  Kind = 9
	KindOffer    Kind = 10
	KindCall     Kind = 11
	KindPart     Kind = 12
)

func (k Kind) String() string {
	switch k {
	case KindHello:
		return "hello"
	case KindHave:
		return "have"
	case KindWant:
		return "want"
	case KindAnnounce:
		return "announce"
	case KindUpdate:
		return "update"
	case KindAnswer:
		return "answer"
	case KindAlign:
		return "align"
	case KindRecord:
		return "record"
	case KindConvict:
		return "convict"
	case KindOffer:
		return "offer"
	case KindCall:
		return "call"
	case KindPart:
		return "part"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// A Message is one thing that a peer says. The messages are pointers to the structs of this package.
// A message that was sent or received is shared from then on, and not written any more.
type Message interface {
	Kind() Kind
	fmt.Stringer // one line, for logs and transcripts
}

// A Hello opens a conversation.
type Hello struct {
	Version uint16 // of the conversation; see the constant
	Model   Digest // fingerprint of the base model; peers whose models differ have nothing to exchange
	Agent   string // what the peer runs, for people to read; at most MaxAgent bytes
	Central uint8  // what share of the turns at being central it would take, beside the others'; 0 if it cannot be
}

// A Have tells which live updates a peer holds: sorted, unique, at most MaxHave. Between peers that may well
// hold the same, their digest says so without naming them.
type Have struct {
	IDs  []UpdateID
	Tags []Tag  // of the skills of IDs, in their order, so that who has no room for more of one need not ask; or none
	Sum  Digest // SumIDs of what is held, if that is all that is said; else zero

	Records []Digest // the newest records known: sorted, unique, at most MaxRecords
}

// A Tag stands for a skill's name where there are many: the first four bytes of its digest. Two names may have one tag.
type Tag [4]byte

// TagOf returns the tag of a skill's name.
func TagOf(skill string) Tag {
	d := Sum([]byte(skill))
	return Tag(d[:4])
}

// SumIDs returns the digest of a sorted set of names.
func SumIDs(ids []UpdateID) Digest {
	b := []byte("yan have v1\x00")
	for _, id := range ids {
		b = binary.AppendUvarint(b, uint64(len(id.Author)))
		b = append(b, id.Author...)
		b = binary.AppendUvarint(b, id.Seq)
	}
	return Sum(b)
}

// A Want asks for updates by name, in the order in which they are wanted: unique, at most MaxWant.
// A Want of nothing asks for a Have.
type Want struct {
	IDs []UpdateID

	Records []Digest // records wanted: sorted, unique, at most MaxRecords
}

// An Announce is the signed head of an update: everything but the body, and the body's digest.
// It is small enough to be gossiped to everyone, so it is signed rather than merely sent.
type Announce struct {
	ID       UpdateID
	Model    Digest // fingerprint of the base model that the body fits
	Skill    string // what it is good at; printable, at most MaxSkill bytes
	Replaces uint64 // Seq of the same author's earlier update of the same skill; 0 if there is none
	Sections uint32 // how many sections the body carries
	Events   uint64 // how many events it was learned from: its evidence
	Gain     int64  // what it saved its author on events held out, in micro-nats per event
	Made     int64  // when, in Unix seconds, by the author's clock: to show, not to rely on
	Digest   Digest // of the body
	Size     uint32 // of the body, in bytes; at most MaxBody
	Sig      []byte // the author's, over everything above
}

// An Update is an Announce with its body. Updates are cumulative: the one with the highest Seq of
// an author and a skill stands in for all earlier ones.
type Update struct {
	Announce
	Body []byte // opaque here
}

// A Verdict says what became of an update that a peer tried.
type Verdict uint8

const (
	Folded  Verdict = 1 // it was of use, and was taken in
	Refused Verdict = 2 // it was of no use, or did not fit
	Harmful Verdict = 3 // it would have done harm, and was undone
)

func (v Verdict) String() string {
	switch v {
	case Folded:
		return "folded"
	case Refused:
		return "refused"
	case Harmful:
		return "harmful"
	}
	return fmt.Sprintf("verdict %d", uint8(v))
}

// An Answer tells an author what its update proved to be worth to the sender.
type Answer struct {
	ID      UpdateID
	Verdict Verdict
	Gain    int64 // micro-nats per event, on the sender's own events; negative if it did harm
}

// An Envelope is a message with its two ends. An empty To means everyone.
type Envelope struct {
	From, To PeerID
	Msg      Message
}

func (*Hello) Kind() Kind    { return KindHello }
func (*Have) Kind() Kind     { return KindHave }
func (*Want) Kind() Kind     { return KindWant }
func (*Announce) Kind() Kind { return KindAnnounce }
func (*Update) Kind() Kind   { return KindUpdate }
func (*Answer) Kind() Kind   { return KindAnswer }

func (m *Hello) String() string {
	s := fmt.Sprintf("hello v%d model=%v agent=%q", m.Version, m.Model, m.Agent)
	if m.Central > 0 {
		s += fmt.Sprintf(" central=%d", m.Central)
	}
	return s
}
func (m *Have) String() string {
	if m.Sum != (Digest{}) {
		return "have what sums to " + m.Sum.String() + records(m.Records)
	}
	return "have " + list(m.IDs) + records(m.Records)
}
func (m *Want) String() string { return "want " + list(m.IDs) + records(m.Records) }
func (m *Announce) String() string {
	return fmt.Sprintf("announce %v %q size=%d gain=%d", m.ID, m.Skill, m.Size, m.Gain)
}
func (m *Update) String() string {
	return fmt.Sprintf("update %v %q size=%d gain=%d", m.ID, m.Skill, m.Size, m.Gain)
}
func (m *Answer) String() string {
	return fmt.Sprintf("answer %v %v gain=%d", m.ID, m.Verdict, m.Gain)
}

func (e Envelope) String() string {
	to := "all"
	if e.To != "" {
		to = e.To.Short()
	}
	return fmt.Sprintf("to %s: %v", to, e.Msg)
}

// list writes ids between brackets, the first sixteen of them: a line in a log has an end.
func list(ids []UpdateID) string {
	const most = 16
	var b strings.Builder
	b.WriteByte('[')
	for i, id := range ids {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(ids)-most)
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(id.String())
	}
	b.WriteByte(']')
	return b.String()
}

// records writes the names of records behind what else a message has, if there are any.
func records(ds []Digest) string {
	if len(ds) == 0 {
		return ""
	}
	return fmt.Sprintf(" and records %v", ds)
}
