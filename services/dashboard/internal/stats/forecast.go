package stats

import (
	"fmt"
	"math/big"
	"time"
)

// forecast is what is spent, and what rate, spent in the time per, comes to in the time
// left; to a picodollar. A rate that is not known adds nothing.
func forecast(spent string, rate *string, left, per time.Duration) (*string, error) {
	sum, ok := new(big.Rat).SetString(spent)
	if !ok {
		return nil, fmt.Errorf("amount %q", spent)
	}
	if rate != nil {
		more, ok := new(big.Rat).SetString(*rate)
		if !ok {
			return nil, fmt.Errorf("amount %q", *rate)
		}
		sum.Add(sum, more.Mul(more, big.NewRat(int64(left), int64(per))))
	}
	return new(dollars(sum)), nil
}
