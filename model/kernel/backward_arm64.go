//go:build !purego

package kernel

func swigluBack(dact, dgate, dhid, act, hid, gate []float32, n int) {
	if level == levelGo || n == 0 {
		swigluBackGo(dact, dgate, dhid, act, hid, gate, n)
		return
	}
	for len(gate) > 0 {
		rows := min(len(gate), atOnce(1, n))
		swigluBack128(rows, n, &dact[0], &dgate[0], &dhid[0], &act[0], &hid[0], &gate[0])
		dact, act = dact[2*n*rows:], act[2*n*rows:]
		dhid, hid = dhid[n*rows:], hid[n*rows:]
		dgate, gate = dgate[rows:], gate[rows:]
	}
}

func mixBack(du, dv, df, de, dout, u, v, sv, sf, e []float32) {
	if level == levelGo {
		mixBackGo(du, dv, df, de, dout, u, v, sv, sf, e)
		return
	}
	for o := 0; o < len(dout); o += most {
		n := min(most, len(dout)-o)
		mixBack128(n, &du[o], &dv[o], &df[o], &de[o], &dout[o], &u[o], &v[o], &sv[o], &sf[o], &e[o])
	}
}

func blendBack(da, db, dw, dy, a, b, w []float32) {
	if level == levelGo {
		blendBackGo(da, db, dw, dy, a, b, w)
		return
	}
	for o := 0; o < len(dy); o += most {
		blendBack128(min(most, len(dy)-o), &da[o], &db[o], &dw[o], &dy[o], &a[o], &b[o], &w[o])
	}
}

// normBack is done in one call: a row of a model is not long.
func normBack(dx, dgain, dy, x, gain []float32, r float32) {
	if level == levelGo {
		normBackGo(dx, dgain, dy, x, gain, r)
		return
	}
	normBack128(len(dy), &dx[0], &dgain[0], &dy[0], &x[0], &gain[0], r)
}

// normBlocksBack reports that no routine here can.
func normBlocksBack(dx, dy, x, inv []float32, dc int) bool {
	if level == levelGo || dc%8 != 0 {
		return false
	}
	for len(inv) > 0 {
		n := min(len(inv), atOnce(1, dc))
		normBlocksBack128(n, dc, &dx[0], &dy[0], &x[0], &inv[0])
		dx, dy, x, inv = dx[n*dc:], dy[n*dc:], x[n*dc:], inv[n:]
	}
	return true
}
