package pricing

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Picodollars is an exact amount of money: 10^12 are one US dollar. An int64
// holds a little over nine million dollars.
type Picodollars int64

const (
	usdDigits  = 12 // decimal digits of a picodollar
	maxDecimal = 64 // longest decimal string accepted, in bytes
)

// USD returns the amount as an exact decimal number of dollars, without
// trailing zeros and without a currency sign: "0.00012", "-3.5", "0".
func (p Picodollars) USD() string {
	return formatUSD(big.NewInt(int64(p)))
}

// String is USD.
func (p Picodollars) String() string { return p.USD() }

// ParseUSD reads a decimal number of dollars as USD writes it. It takes an
// optional minus sign, digits, and up to twelve decimals (more if they are
// zeros); no plus sign, exponent, separator or space.
func ParseUSD(s string) (Picodollars, error) {
	n, scale, err := parseDecimal(s)
	if err != nil {
		return 0, fmt.Errorf("amount %w", err)
	}
	pico, exact := toPico(n, scale, 1)
	if !exact {
		return 0, fmt.Errorf("amount %q is finer than a picodollar (12 decimals)", s)
	}
	if !pico.IsInt64() {
		return 0, fmt.Errorf("amount %q: %w", s, ErrOverflow)
	}
	return Picodollars(pico.Int64()), nil
}

// ParseRate reads a price of usd dollars per so many tokens (1000 and 1000000
// are usual) as picodollars per token. It is exact: a price that is not a
// whole number of picodollars per token is an error, and so is a negative one.
func ParseRate(usd string, per int64) (int64, error) {
	if per <= 0 || per > 1_000_000_000_000 {
		return 0, fmt.Errorf("rate %q: per must be 1 to 10^12 tokens, not %d", clip(usd), per)
	}
	n, scale, err := parseDecimal(usd)
	if err != nil {
		return 0, fmt.Errorf("rate %w", err)
	}
	if n.Sign() < 0 {
		return 0, fmt.Errorf("rate %q is negative", usd)
	}
	rate, exact := toPico(n, scale, per)
	if !exact {
		return 0, fmt.Errorf("rate %q per %d tokens is finer than a picodollar per token", usd, per)
	}
	if !rate.IsInt64() {
		return 0, fmt.Errorf("rate %q per %d tokens: %w", usd, per, ErrOverflow)
	}
	return rate.Int64(), nil
}

// FormatRate is the inverse of ParseRate: the dollars that per tokens cost at
// rate picodollars each.
func FormatRate(rate, per int64) string {
	return formatUSD(new(big.Int).Mul(big.NewInt(rate), big.NewInt(per)))
}

func formatUSD(pico *big.Int) string {
	digits := new(big.Int).Abs(pico).String()
	if pad := usdDigits + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	point := len(digits) - usdDigits
	s := digits[:point]
	if fraction := strings.TrimRight(digits[point:], "0"); fraction != "" {
		s += "." + fraction
	}
	if pico.Sign() < 0 {
		return "-" + s
	}
	return s
}

// parseDecimal splits s into an integer and the number of its digits that
// stand behind the decimal point.
func parseDecimal(s string) (n *big.Int, scale int, err error) {
	if len(s) > maxDecimal {
		return nil, 0, fmt.Errorf("%s is longer than %d characters", clip(s), maxDecimal)
	}
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || (point && fraction == "") || !allDigits(whole) || !allDigits(fraction) {
		return nil, 0, errors.New(strconv.Quote(s) + ` is not a decimal number such as "0.15"`)
	}
	n, _ = new(big.Int).SetString(whole+fraction, 10)
	if negative {
		n.Neg(n)
	}
	return n, len(fraction), nil
}

// toPico returns n·10^-scale dollars divided by per, in picodollars, and
// whether nothing was left over.
func toPico(n *big.Int, scale int, per int64) (*big.Int, bool) {
	num := new(big.Int).Mul(n, pow10(usdDigits))
	den := new(big.Int).Mul(pow10(scale), big.NewInt(per))
	quo, rem := num.QuoRem(num, den, new(big.Int))
	return quo, rem.Sign() == 0
}

func pow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// clip quotes s for an error, cut to a readable length.
func clip(s string) string {
	if len(s) > maxDecimal {
		return strconv.Quote(s[:maxDecimal]) + "…"
	}
	return strconv.Quote(s)
}
