package pricing

import (
	"crypto/sha256"
	_ "embed"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

//go:embed book.csv
var bookCSV string

// Builtin returns the list prices Loom ships with, by provider kind. Their
// Version is "builtin-" and the start of the hash of the shipped file, so that
// a stored cost names the exact figures it was computed from.
func Builtin() ([]Price, error) {
	prices, err := parseCSV(strings.NewReader(bookCSV))
	if err != nil {
		return nil, fmt.Errorf("built-in price book: %w", err)
	}
	sum := sha256.Sum256([]byte(bookCSV))
	for i := range prices {
		prices[i].Version = "builtin-" + hex.EncodeToString(sum[:6])
	}
	if _, err := NewBook(prices, nil); err != nil {
		return nil, fmt.Errorf("built-in %w", err)
	}
	return prices, nil
}

// MustBuiltin is Builtin for program start. It panics only if the binary was
// built with a broken book.
func MustBuiltin() []Price {
	prices, err := Builtin()
	if err != nil {
		panic(err)
	}
	return prices
}

var csvHeader = []string{
	"provider_kind", "models", "from", "until", "above_input_tokens",
	"input", "cached_input", "cache_write", "cache_write_1h", "output", "per", "source",
}

// parseCSV reads rows under csvHeader. A row that names several models stands
// for one price each; a row with above_input_tokens adds a tier to the price
// of the row before it, which must name the same models and dates.
func parseCSV(r io.Reader) ([]Price, error) {
	in := csv.NewReader(r)
	in.Comment = '#'
	in.FieldsPerRecord = len(csvHeader)
	header, err := in.Read()
	if err != nil {
		return nil, err
	}
	if got, want := strings.Join(header, ","), strings.Join(csvHeader, ","); got != want {
		return nil, fmt.Errorf("columns are %q, want %q", got, want)
	}
	var (
		prices []Price
		series string // provider, models and dates of the row before
		first  int    // its first price
	)
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return prices, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		p, above, err := parseRow(row)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		id := strings.Join(row[:4], ",")
		if above > 0 {
			if id != series {
				return nil, fmt.Errorf("line %d: a tier must follow the price of the same models and dates", line)
			}
			for i := first; i < len(prices); i++ {
				prices[i].Tiers = append(prices[i].Tiers, Tier{AboveInputTokens: above, Rates: p.Rates})
			}
			continue
		}
		series, first = id, len(prices)
		for model := range strings.FieldsSeq(row[1]) {
			p.Model = model
			prices = append(prices, p)
		}
		if first == len(prices) {
			return nil, fmt.Errorf("line %d: models is empty", line)
		}
	}
}

// parseRow reads all of a row but its models; above is 0 for a base price.
func parseRow(row []string) (p Price, above int64, err error) {
	var errs []error
	date := func(column int) time.Time {
		if row[column] == "" && column == 3 {
			return time.Time{}
		}
		t, err := time.Parse(time.DateOnly, row[column])
		errs = append(errs, err)
		return t
	}
	number := func(column int) int64 {
		n, err := strconv.ParseInt(row[column], 10, 64)
		if err == nil && n <= 0 {
			err = fmt.Errorf("%s must be positive", csvHeader[column])
		}
		errs = append(errs, err)
		return n
	}
	per := number(10)
	rate := func(column int) int64 {
		n, err := ParseRate(row[column], per)
		if err != nil {
			err = fmt.Errorf("%s: %w", csvHeader[column], err)
		}
		errs = append(errs, err)
		return n
	}
	optional := func(column int) *int64 {
		if row[column] == "" {
			return nil
		}
		return new(rate(column))
	}
	if row[4] != "" {
		above = number(4)
	}
	p = Price{
		Provider: row[0],
		From:     date(2),
		Until:    date(3),
		Rates: Rates{
			Input:        rate(5),
			CachedInput:  optional(6),
			CacheWrite:   optional(7),
			CacheWrite1h: optional(8),
			Output:       rate(9),
		},
		Source: row[11],
	}
	return p, above, errors.Join(errs...)
}
