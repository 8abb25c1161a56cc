package protocol

// What scan lets through. The deepest of our messages, a Have, is three deep (a map, an array, a
// map); the longest has five values for each of its ids. The rest is room for later versions.
const (
	maxDepth = 6
	maxItems = 8192
)

// The msgpack tags that scan tells apart; ranges are given by their first.
const (
	tagFixMap   = 0x80
	tagFixArray = 0x90
	tagFixStr   = 0xa0
	tagNil      = 0xc0
	tagBin8     = 0xc4
	tagBin32    = 0xc6
	tagUint8    = 0xcc
	tagUint64   = 0xcf
	tagInt8     = 0xd0
	tagInt64    = 0xd3
	tagStr8     = 0xd9
	tagStr32    = 0xdb
	tagArray16  = 0xdc
	tagArray32  = 0xdd
	tagMap16    = 0xde
	tagMap32    = 0xdf
	tagNegative = 0xe0
)

// scan reports the length of the msgpack value at the start of b, and whether it is whole, of the
// sorts we use, no deeper than depth, of no more than *items values, and nowhere claims to hold
// more than b does; it takes from *items what it saw. It allocates nothing.
//
// The msgpack library checks none of this. Five bytes, dd ff ff ff ff, make it allocate 32 GiB, and
// a megabyte of nested arrays overflows the stack, even in a field that is merely skipped; neither
// can be recovered from. So nothing reaches it but what has passed here.
func scan(b []byte, depth int, items *int) (n int, ok bool) {
	*items--
	if len(b) == 0 || depth < 0 || *items < 0 {
		return 0, false
	}
	switch t := b[0]; {
	case t < tagFixMap || t >= tagNegative:
		return 1, true
	case t < tagFixArray:
		return scanList(b, 1, uint64(t&0x0f), true, depth, items)
	case t < tagFixStr:
		return scanList(b, 1, uint64(t&0x0f), false, depth, items)
	case t < tagNil:
		return scanBlob(b, 1, uint64(t&0x1f))
	case t >= tagBin8 && t <= tagBin32:
		return scanSized(b, 1<<(t-tagBin8))
	case t >= tagStr8 && t <= tagStr32:
		return scanSized(b, 1<<(t-tagStr8))
	case t >= tagUint8 && t <= tagUint64:
		return scanBlob(b, 1, 1<<(t-tagUint8))
	case t >= tagInt8 && t <= tagInt64:
		return scanBlob(b, 1, 1<<(t-tagInt8))
	case t == tagArray16, t == tagArray32, t == tagMap16, t == tagMap32:
		width := 2
		if t == tagArray32 || t == tagMap32 {
			width = 4
		}
		count, ok := bigEndian(b, width)
		if !ok {
			return 0, false
		}
		return scanList(b, 1+width, count, t >= tagMap16, depth, items)
	}
	return 0, false // nil, bool, float, extension
}

// scanList scans count values, or pairs of a key and a value, that start at b[head].
func scanList(b []byte, head int, count uint64, isMap bool, depth int, items *int) (n int, ok bool) {
	if count > uint64(len(b)-head) || count > uint64(*items) { // each value needs a byte at least
		return 0, false
	}
	n = head
	var seen [4]uint64 // one bit for each key
	for range count {
		if isMap {
			// A key is a string of one byte: a1 xx.
			if *items--; *items < 0 || len(b)-n < 2 || b[n] != tagFixStr|1 {
				return 0, false
			}
			k := b[n+1]
			if k >= 0x80 || seen[k/64]&(1<<(k%64)) != 0 {
				return 0, false
			}
			seen[k/64] |= 1 << (k % 64)
			n += 2
		}
		size, ok := scan(b[n:], depth-1, items)
		if !ok {
			return 0, false
		}
		n += size
	}
	return n, true
}

// scanSized scans a string whose length stands in width bytes after the tag.
func scanSized(b []byte, width int) (n int, ok bool) {
	size, ok := bigEndian(b, width)
	if !ok {
		return 0, false
	}
	return scanBlob(b, 1+width, size)
}

// scanBlob scans size bytes that start at b[head].
func scanBlob(b []byte, head int, size uint64) (n int, ok bool) {
	if size > uint64(len(b)-head) {
		return 0, false
	}
	return head + int(size), true
}

// bigEndian returns the number of width bytes after the tag.
func bigEndian(b []byte, width int) (n uint64, ok bool) {
	if len(b) < 1+width {
		return 0, false
	}
	for _, c := range b[1 : 1+width] {
		n = n<<8 | uint64(c)
	}
	return n, true
}
