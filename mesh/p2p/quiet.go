package p2p

import (
	"context"
	"log/slog"
)

// atLeast is a handler that leaves out what matters less than its level, and what libp2p says of a peer that was
// disconnected while it introduced itself: we do that to strangers, and say why in a line of our own.
type atLeast struct {
	level slog.Level
	slog.Handler
}

const unidentified = "failed to identify peer" // as libp2p's identify has it

func (h atLeast) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == unidentified {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.level, h.Handler.WithAttrs(attrs)}
}

func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.level, h.Handler.WithGroup(name)}
}
