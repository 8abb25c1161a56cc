package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// decodeWAV reads the samples of a WAV file of 8 or 16 bit PCM. Channels are averaged, as one ear hears
// them. It copies what it keeps.
func decodeWAV(b []byte) (samples []int16, rate int, err error) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, 0, errors.New("is no WAV file: it does not begin with RIFF and WAVE")
	}
	var format []byte
	for rest := b[12:]; len(rest) >= 8; {
		name, size := string(rest[:4]), uint64(binary.LittleEndian.Uint32(rest[4:]))
		rest = rest[8:]
		if size > uint64(len(rest)) {
			return nil, 0, fmt.Errorf("is cut off: its chunk %q says %d bytes and %d are left", name, size, len(rest))
		}
		chunk := rest[:size]
		switch name {
		case "fmt ":
			format = chunk
		case "data":
			if len(format) < 16 {
				return nil, 0, errors.New("has no format before its data")
			}
			return decodePCM(format, chunk)
		}
		rest = rest[min(size+size%2, uint64(len(rest))):] // chunks begin at even places
	}
	return nil, 0, errors.New("has no data")
}

// decodePCM reads the data chunk that a format chunk describes.
func decodePCM(format, data []byte) ([]int16, int, error) {
	const pcm, extensible = 1, 0xfffe
	kind := binary.LittleEndian.Uint16(format)
	if kind == extensible && len(format) >= 26 {
		kind = binary.LittleEndian.Uint16(format[24:])
	}
	channels, bits := int(binary.LittleEndian.Uint16(format[2:])), int(binary.LittleEndian.Uint16(format[14:]))
	rate := binary.LittleEndian.Uint32(format[4:])
	if kind != pcm || bits != 8 && bits != 16 || channels == 0 || channels > 8 {
		return nil, 0, fmt.Errorf("has format %d with %d channels of %d bits: PCM with 1 to 8 channels of 8 or 16 bits is read", kind, channels, bits)
	}
	if rate < 1000 || rate > 1_000_000 {
		return nil, 0, fmt.Errorf("has %d samples a second: 1,000 to 1,000,000 are read", rate)
	}
	frame := channels * bits / 8
	if len(data) < frame || len(data)%frame != 0 {
		return nil, 0, fmt.Errorf("has %d bytes of sound: samples of %d bytes do not fill them", len(data), frame)
	}
	out := make([]int16, len(data)/frame)
	for i := range out {
		sum := 0
		for c := range channels {
			at := i*frame + c*bits/8
			if bits == 8 {
				sum += (int(data[at]) - 128) << 8
			} else {
				sum += int(int16(binary.LittleEndian.Uint16(data[at:])))
			}
		}
		out[i] = int16(sum / channels)
	}
	return out, int(rate), nil
}
