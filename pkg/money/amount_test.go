package money

import "testing"

func amount(t testing.TB, s string) Amount {
	t.Helper()
	a, err := ParseAmount(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func quantity(t testing.TB, s string) Quantity {
	t.Helper()
	q, err := ParseQuantity(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestSmoke(t *testing.T) {
	for _, s := range []string{"0", "-0.5", "1000000", "2.5e-07", "170141183460469231731.687303715884105727", "-170141183460469231731.687303715884105728", "1e-19", "1e21", ".5", "5.", "0.10000000000000000000000000000000000000000000000000000"} {
		a, err := ParseAmount(s)
		t.Log(s, a, err)
	}
	p, err := ParsePrice("2.50", "1000000")
	r, err2 := p.Rate(amount(t, "0.99209183"))
	c, err3 := r.Charge(quantity(t, "22361870"))
	t.Log(p, r, c, err, err2, err3)
	dst := make([]Amount, 6)
	w := []Units{{0, 47000}, {0, 16000}, {0, 15800}, {0, 12000}, {0, 6100}, {0, 3100}}
	t.Log(Apportion(dst, Atto(10), w), dst)
	t.Log(Apportion(dst, One, w), dst)
}
