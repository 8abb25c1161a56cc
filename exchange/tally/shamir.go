package tally

import "io"

// A secret of 32 bytes is shared byte by byte: each is the value at zero of a polynomial over GF(2⁸) of a degree one less than
// the threshold, of which member i has the value at i+1 (Shamir 1979, "How to Share a Secret").

const shareBytes = 32

// multiply is the product in GF(2⁸) modulo x⁸+x⁴+x³+x+1, without a branch on what is secret.
func multiply(a, b byte) (p byte) {
	for range 8 {
		p ^= -(b & 1) & a
		a = a<<1 ^ -(a>>7)&0x1b
		b >>= 1
	}
	return p
}

// inverse is a²⁵⁴, which is 1/a.
func inverse(a byte) byte {
	r := byte(1)
	for range 254 {
		r = multiply(r, a)
	}
	return r
}

// split returns a share of the secret for each of n members, any threshold of which give it back.
func split(secret [shareBytes]byte, n, threshold int, chance io.Reader) ([][shareBytes]byte, error) {
	terms := make([][shareBytes]byte, threshold)
	terms[0] = secret
	for k := 1; k < threshold; k++ {
		if _, err := io.ReadFull(chance, terms[k][:]); err != nil {
			return nil, err
		}
	}
	shares := make([][shareBytes]byte, n)
	for i := range shares {
		for k := threshold - 1; k >= 0; k-- { // Horner
			for j := range secret {
				shares[i][j] = multiply(shares[i][j], byte(i+1)) ^ terms[k][j]
			}
		}
	}
	return shares, nil
}

// join is the secret of which these members have these shares: Lagrange's polynomial at zero.
func join(members []int, shares [][shareBytes]byte) (secret [shareBytes]byte) {
	for i, m := range members {
		weight := byte(1)
		for k, o := range members {
			if k != i {
				weight = multiply(weight, multiply(byte(o+1), inverse(byte(o+1)^byte(m+1))))
			}
		}
		for j := range secret {
			secret[j] ^= multiply(weight, shares[i][j])
		}
	}
	return secret
}
