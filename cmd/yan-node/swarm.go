package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yanmesh/yan/cmd/internal/ui"
	"github.com/yanmesh/yan/protocol"
)

// swarmCommand says whose devices a device talks with.
func swarmCommand(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "swarm",
		Short: "Say which devices are yours: a node in a swarm talks with no other",
		Long: `swarm makes a mesh of one owner's devices. The owner's device has the swarm's key and admits others by
name for a time; each shows its admission to whom it meets, and who has none is disconnected unheard.
A device in no swarm talks with every other that is in none.`,
		Example: `  yan-node swarm init
  yan-node swarm admit 12D3KooWExample | ssh car yan-node swarm join -`,
	}
	cmd.AddCommand(swarmInit(c), swarmAdmit(c), swarmRevoke(c), swarmJoin(c), swarmShow(c))
	return cmd
}

// A swarmReport is what a swarm command did, or what is known of a swarm.
type swarmReport struct {
	Swarm    string            `json:"swarm"` // its public name; empty for none
	Owner    bool              `json:"owner"` // its key is in this home
	Device   protocol.PeerID   `json:"device"`
	Admitted []admissionReport `json:"admitted"` // where the key is, all that it admitted; else this device
	Revoked  []revokedReport   `json:"revoked"`
	Pass     string            `json:"pass,omitempty"` // what to take to other devices
}

type admissionReport struct {
	Peer      protocol.PeerID `json:"peer"`
	Serial    uint64          `json:"serial"`
	NotBefore time.Time       `json:"not_before"`
	Expires   time.Time       `json:"expires"`
	State     string          `json:"state"` // valid, or why it is not
}

type revokedReport struct {
	Peer   protocol.PeerID `json:"peer"`
	Serial uint64          `json:"serial"` // the last one that is void
}

const (
	defaultAdmission = 365 * 24 * time.Hour
	ownAdmission     = 10 * defaultAdmission // of the device that has the key, which could admit itself anyway
)

// day prints a time to the minute, as all of the world reads it.
func day(t time.Time) string { return t.Format("2006-01-02 15:04 MST") }

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// What a running node makes of a change to its swarm: whom it talks with at all is settled when it starts.
const (
	restart = "a node that runs here goes on with whom it talks now until it is started again"
	renewed = "a node that runs here takes this up within seconds"
)

func swarmInit(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Make a swarm, of which this device is the first",
		Long: `init makes a swarm's key and admits this device. Keep a copy of the key: whoever has it says who is in the
swarm, and without it nobody can be admitted or sent away any more.`,
		Example: `  yan-node swarm init
  yan-node swarm init --home ~/desk --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, b, err := c.self()
			if err != nil {
				return err
			}
			key, err := b.newKey()
			if err != nil {
				return err
			}
			a, err := b.issue(key, self, time.Now(), ownAdmission)
			if err != nil {
				return err
			}
			if err := b.keep(a); err != nil {
				return err
			}
			if c.json {
				return c.printSwarm(cmd, nil)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%s\n", a.Swarm)
			notes := cmd.ErrOrStderr()
			fmt.Fprintf(notes, "its key is %s: keep a copy, whoever has it says who is in\n", b.path(swarmKeyFile))
			fmt.Fprintf(notes, "this device, %s, is in; %s\n", self, restart)
			return nil
		},
	}
}

func swarmAdmit(c *common) *cobra.Command {
	length := defaultAdmission
	cmd := &cobra.Command{
		Use:   "admit PEER",
		Short: "Admit a device, and print what to take to it",
		Long: `admit prints one line, a pass, for the device to join with. It is no secret: no other device can use it.
yan-node status on the device says its name.`,
		Example: `  yan-node swarm admit 12D3KooWExample --for 720h > car.pass
  yan-node swarm admit 12D3KooWExample | ssh car yan-node swarm join -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			peer := protocol.PeerID(args[0])
			if _, err := peer.Key(); err != nil {
				return ui.Usage("%q is no device's name: yan-node status prints it there", args[0])
			}
			if length < time.Second {
				return ui.Usage("--for %v: admit for a second at least", length)
			}
			b, err := c.book()
			if err != nil {
				return err
			}
			key, err := b.key()
			if err != nil {
				return err
			}
			a, err := b.issue(key, peer, time.Now(), length)
			if err != nil {
				return err
			}
			revoked, err := b.revoked(a.Swarm)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "admitted %s until %s, serial %d: take the line to it and run yan-node swarm join -\n",
				peer, day(unix(a.Expires)), a.Serial)
			return c.printSwarm(cmd, &protocol.Pass{Swarm: a.Swarm, Admission: a, Revoked: revoked})
		},
	}
	cmd.Flags().DurationVar(&length, "for", length, "for how long")
	return cmd
}

func swarmRevoke(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke PEER|SERIAL",
		Short: "Send a device away: take back all that it was admitted by so far",
		Long: `revoke takes back all admissions of a device up to now, or up to a serial. A node that runs here tells the
others within seconds; the line that is printed may be taken to any device of the swarm as well. The device can
be admitted again.`,
		Example: `  yan-node swarm revoke 12D3KooWExample
  yan-node swarm revoke 1795280000 > lost.pass`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.book()
			if err != nil {
				return err
			}
			key, err := b.key()
			if err != nil {
				return err
			}
			r, err := b.toRevoke(args[0], time.Now())
			if err != nil {
				return err
			}
			r.Sign(key)
			if err := b.Save([]protocol.Revocation{r}); err != nil {
				return err
			}
			revoked, err := b.revoked(r.Swarm)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "revoked %s up to serial %d\n", r.Peer, r.Serial)
			return c.printSwarm(cmd, &protocol.Pass{Swarm: r.Swarm, Revoked: revoked})
		},
	}
}

// toRevoke is what the owner means by a peer or a serial.
func (b swarmBook) toRevoke(arg string, now time.Time) (r protocol.Revocation, err error) {
	serial, err := strconv.ParseUint(arg, 10, 64)
	if err != nil {
		r.Peer = protocol.PeerID(arg)
		if _, err := r.Peer.Key(); err != nil {
			return r, ui.Usage("%q is neither a device's name nor a serial: yan-node swarm show lists both", arg)
		}
		next, err := b.next(now)
		r.Serial = next - 1 // all that were issued; next is what the device may be admitted by again
		return r, err
	}
	list, err := b.issued()
	if err != nil {
		return r, err
	}
	for _, a := range list {
		if a.Serial == serial {
			r.Peer, r.Serial = a.Peer, serial
			return r, nil
		}
	}
	return r, fmt.Errorf("no admission has the serial %d: yan-node swarm show lists them", serial)
}

func swarmJoin(c *common) *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use:   "join FILE|-",
		Short: "Take in the line that admit or revoke printed",
		Example: `  yan-node swarm join car.pass
  ssh desk yan-node swarm admit 12D3KooWExample | yan-node swarm join -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := passFrom(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			self, b, err := c.self()
			if err != nil {
				return err
			}
			heeded := restart
			if have, err := b.Load(); err == nil && have.Swarm == p.Swarm {
				heeded = renewed
			}
			if err := b.take(p, self, time.Now(), replace); err != nil {
				return err
			}
			if c.json {
				return c.printSwarm(cmd, nil)
			}
			out := cmd.OutOrStdout()
			if p.Admission != nil {
				fmt.Fprintf(out, "in %s until %s; %s\n", p.Swarm, day(unix(p.Admission.Expires)), heeded)
			}
			if n := len(p.Revoked); n > 0 {
				fmt.Fprintf(out, "devices that were sent away: %d\n", n)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "leave the swarm that the device is in for another")
	return cmd
}

// passFrom reads what --join's argument names.
func passFrom(name string, stdin io.Reader) (*protocol.Pass, error) {
	if name != "-" {
		p, err := readPass(name)
		if err != nil {
			return nil, fmt.Errorf("join: %w", err)
		}
		return p, nil
	}
	b, err := io.ReadAll(io.LimitReader(stdin, maxPassText+1))
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	p := new(protocol.Pass)
	if err := p.UnmarshalText(b); err != nil {
		return nil, fmt.Errorf("join: %w: give it the whole line that yan-node swarm admit printed", err)
	}
	return p, nil
}

// take makes a pass the device's own, if everything in it is true and meant for it.
func (b swarmBook) take(p *protocol.Pass, self protocol.PeerID, now time.Time, replace bool) error {
	if p.Admission == nil && len(p.Revoked) == 0 {
		return errors.New("join: the pass carries neither an admission nor a revocation")
	}
	known := []protocol.Revocation{}
	other := false
	if b.joined() {
		have, err := b.Load()
		if err != nil {
			return err
		}
		other = have.Swarm != p.Swarm
		switch {
		case other && b.owned():
			return fmt.Errorf("join: this home has the key of %s, and the pass is of %s: take another --home", have.Swarm, p.Swarm)
		case other && !replace:
			return fmt.Errorf("join: this device is in %s, and the pass is of %s: --replace leaves the one for the other", have.Swarm, p.Swarm)
		case !other:
			known = have.Revoked
		}
	}
	roll := protocol.NewRoll(p.Swarm)
	for _, r := range append(known, p.Revoked...) {
		if _, err := roll.Add(r); err != nil {
			return fmt.Errorf("join: the revocation of %s: %w", r.Peer, err)
		}
	}
	switch {
	case p.Admission != nil:
		if err := roll.Check(p.Admission, self, now); err != nil {
			return fmt.Errorf("join: %w: this device is %s, ask for a pass for it", err, self)
		}
	case other || !b.joined():
		return errors.New("join: the pass admits nobody: ask for one that yan-node swarm admit printed")
	}
	if other {
		if err := b.forget(); err != nil {
			return err
		}
	}
	if err := b.Save(p.Revoked); err != nil || p.Admission == nil {
		return err
	}
	return b.keep(p.Admission)
}

func swarmShow(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show who is admitted, until when, and who was sent away",
		Example: `  yan-node swarm show
  yan-node swarm show --home ~/car --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.exists(); err != nil {
				return err
			}
			if c.json {
				return c.printSwarm(cmd, nil)
			}
			r, err := c.swarm(time.Now())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if r.Swarm == "" {
				fmt.Fprintln(out, "in no swarm: it talks with every device that is in none; yan-node swarm init makes one")
				return nil
			}
			role := "its key is elsewhere"
			if r.Owner {
				role = "its key is here"
			}
			fmt.Fprintf(out, "%s, %s\nthis device is %s\n", r.Swarm, role, r.Device)
			t := ui.NewTable("device", "serial", "until", "state")
			for _, a := range r.Admitted {
				t.Row(a.Peer, a.Serial, day(a.Expires), a.State)
			}
			if err := t.Fprint(out); err != nil {
				return err
			}
			for _, v := range r.Revoked {
				fmt.Fprintf(out, "revoked: %s up to serial %d\n", v.Peer, v.Serial)
			}
			return nil
		},
	}
}

// book is the home's, which must have been begun.
func (c *common) book() (swarmBook, error) {
	if err := c.exists(); err != nil {
		return swarmBook{}, err
	}
	home, err := c.folder()
	return bookIn(home), err
}

// self is this device, which is made if it is not there yet, and its book.
func (c *common) self() (protocol.PeerID, swarmBook, error) {
	home, err := c.folder()
	if err != nil {
		return "", swarmBook{}, err
	}
	who, err := identity(home)
	return who, bookIn(home), err
}

// printSwarm prints a pass as a line, or with --json all that is known of the swarm and the pass in it.
func (c *common) printSwarm(cmd *cobra.Command, p *protocol.Pass) error {
	text := ""
	if p != nil {
		b, err := p.MarshalText()
		if err != nil {
			return err
		}
		text = string(b)
	}
	if !c.json {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
		return err
	}
	r, err := c.swarm(time.Now())
	if err != nil {
		return err
	}
	r.Pass = text
	return ui.JSON(cmd.OutOrStdout(), r)
}

// swarm is what the home knows of its swarm.
func (c *common) swarm(now time.Time) (swarmReport, error) {
	r := swarmReport{Admitted: []admissionReport{}, Revoked: []revokedReport{}}
	self, b, err := c.self()
	if err != nil {
		return r, err
	}
	r.Device = self
	if !b.joined() {
		return r, nil
	}
	p, err := b.Load()
	if err != nil {
		return r, err
	}
	r.Swarm, r.Owner = p.Swarm.String(), b.owned()
	list := []*protocol.Admission{p.Admission}
	if r.Owner {
		if list, err = b.issued(); err != nil {
			return r, err
		}
	}
	roll := protocol.NewRoll(p.Swarm)
	for _, v := range p.Revoked {
		if _, err := roll.Add(v); err != nil {
			return r, err
		}
		r.Revoked = append(r.Revoked, revokedReport{v.Peer, v.Serial})
	}
	for _, a := range list {
		state := "valid"
		if err := roll.Check(a, a.Peer, now); err != nil {
			state = strings.TrimPrefix(err.Error(), protocol.ErrNotAdmitted.Error()+": ")
		}
		r.Admitted = append(r.Admitted, admissionReport{a.Peer, a.Serial, unix(a.NotBefore), unix(a.Expires), state})
	}
	return r, nil
}
