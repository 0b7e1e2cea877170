package quotefile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aliquot-engine/aliquot/internal/published"
	"github.com/aliquot-engine/aliquot/internal/rowfile"
)

func read(text string, o Options) (File, error) {
	o.Rows.Name = "rates.csv"
	return Read(o, func(r rowfile.Options) (*rowfile.Reader, error) { return rowfile.New(strings.NewReader(text), r) })
}

func shown(f File) string {
	var b strings.Builder
	for i, r := range f.Rounds {
		fmt.Fprintf(&b, "%d %s %s %v; ", f.Lines[i], r.Round, r.Time.Format(time.RFC3339Nano), r.Rate)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// The first lines of what each of them exports.
func TestExportsThatAreRecognised(t *testing.T) {
	const at, later = "2023-11-14T22:13:20Z", "2023-11-15T22:13:20Z"
	for _, c := range []struct{ name, layout, text, want string }{
		{"our own", "aliquot", "round,time,rate\n7,2023-11-14T22:13:20Z,0.9999\n", "2 7 " + at + " 0.9999"},
		{"our own, in another order and with more columns", "aliquot", "note,Rate,Time,Round\nx,0.9999,1700000000,7\n", "2 7 " + at + " 0.9999"},
		{"Chainlink", "Chainlink", "roundId,answer,updatedAt,phaseId\n36893488147419103978,100018009,1700000000,2\n", "2 36893488147419103978 " + at + " 1.00018009"},
		{"Kraken OHLCVT", "Kraken", "1700000000,1.0001,1.0002,0.9999,1.0000,1531.25,12\n1700086400,0.9998,1,0.9,1,10,1\n", "1 " + at + " " + at + " 1.0001; 2 " + later + " " + later + " 0.9998"},
		{"Coinbase candles, newest first", "Coinbase", "time,low,high,open,close,volume\n1700086400,0.9,1.1,0.9998,1,10\n1700000000,0.9,1.1,1.0001,1,10\n", "3 " + at + " " + at + " 1.0001; 2 " + later + " " + later + " 0.9998"},
		{"Coinbase candles without a header", "Coinbase", "1700000000,0.9,1.1,1.0001,1,10\n", "1 " + at + " " + at + " 1.0001"},
		{"Coinbase trades", "trades", "trade_id,side,size,price,time\n99,buy,10.5,1.0001,2023-11-14T22:13:20.123456Z\n", "2 99 2023-11-14T22:13:20.123456Z 1.0001"},
		{"Binance, milliseconds", "Binance", "1699999940000,1.0,1.1,0.9,1.0002,10.5,1699999999999,10.5,3,1,1,0\n", "1 2023-11-14T22:13:19.999Z 2023-11-14T22:13:19.999Z 1.0002"},
		{"Binance, microseconds", "Binance", "1699999940000000,1.0,1.1,0.9,1.0002,10.5,1699999999999999,10.5,3,1,1,0\n", "1 2023-11-14T22:13:19.999999Z 2023-11-14T22:13:19.999999Z 1.0002"},
		{"Binance with a header", "Binance", "open_time,open,high,low,close,volume,close_time\n1699999940000,1.0,1.1,0.9,1.0002,10.5,1699999999999\n", "2 2023-11-14T22:13:19.999Z 2023-11-14T22:13:19.999Z 1.0002"},
		{"CoinGecko", "CoinGecko", "snapped_at,price,market_cap,total_volume\n2023-11-14 00:00:00 UTC,0.9998123456789,24e9,5e9\n", "2 2023-11-14T00:00:00Z 2023-11-14T00:00:00Z 0.9998123456789"},
		{"CoinMarketCap", "CoinMarketCap", "\ufefftimeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;timestamp\n\"2023-11-14T00:00:00.000Z\";\"2023-11-14T23:59:59.999Z\";\"2023-11-14T01:00:00.000Z\";\"2023-11-14T02:00:00.000Z\";\"2781\";1.0;1.1;0.9;0.9997;5e9;24e9;\"2023-11-14T23:59:59.999Z\"\n", "2 2023-11-14T23:59:59.999Z 2023-11-14T23:59:59.999Z 0.9997"},
		{"Dune", "Dune", "minute,symbol,price\n2023-11-14 22:13:00.000 UTC,USDC,0.9999\n", "2 2023-11-14T22:13:00Z 2023-11-14T22:13:00Z 0.9999"},
		{"Dune, JSON", "Dune", `[{"minute":"2023-11-14 22:13","price":0.9999}]`, ""},
		{"PostgreSQL's zone", "aliquot", "time,rate\n2023-11-14 22:13:20+00,0.9999\n", "2 " + at + " " + at + " 0.9999"},
		{"another zone", "aliquot", "time,rate\n2023-11-14T23:13:20+01:00,0.9999\n", "2 " + at + " " + at + " 0.9999"},
		{"lower case", "aliquot", "time,rate\n2023-11-14t22:13:20z,0.9999\n", "2 " + at + " " + at + " 0.9999"},
		{"seconds with a fraction", "aliquot", "time,rate\n1700000000.25,0.9999\n", "2 2023-11-14T22:13:20.25Z 2023-11-14T22:13:20.25Z 0.9999"},
		{"nanoseconds", "aliquot", "time,rate\n1700000000000000001,0.9999\n", "2 2023-11-14T22:13:20.000000001Z 2023-11-14T22:13:20.000000001Z 0.9999"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Decimals: -1}
			if c.want == "" { // JSON, and times without a zone
				o.Rows.Format, o.UTC = rowfile.JSON, true
				c.want = "1 2023-11-14T22:13:00Z 2023-11-14T22:13:00Z 0.9999"
			}
			got, err := read(c.text, o)
			if err != nil || got.Layout != c.layout || shown(got) != c.want {
				t.Fatalf("%s: got %q, %v\nwant %s: %q", got.Layout, shown(got), err, c.layout, c.want)
			}
		})
	}
}

func TestRatesThatCannotBeReadAreRefusedByLine(t *testing.T) {
	for _, c := range []struct {
		name, text string
		o          Options
		want       string
	}{
		{"a point where 8 decimals are left out", "roundId,answer,updatedAt\n1,100000000,1\n2,0.9999,2\n", Options{Decimals: -1}, `line 3: answer: "0.9999" is no whole number, and the rates of this file leave 8 decimals out`},
		{"an exponent there", "roundId,answer,updatedAt\n2,1e8,2\n", Options{Decimals: -1}, "line 2: answer: "},
		{"decimals by option, and a point", "time,rate\n1,0.5\n", Options{Decimals: 6}, "line 2: rate: "},
		{"zero", "time,rate\n1,0\n", Options{Decimals: -1}, "line 2: rate: is not above zero"},
		{"below zero", "time,rate\n1,-1\n", Options{Decimals: -1}, "line 2: rate: is not above zero"},
		{"no rate", "time,rate\n1,\n", Options{Decimals: -1}, "line 2: rate: is empty"},
		{"a word", "time,rate\n1,one\n", Options{Decimals: -1}, "line 2: rate: "},
		{"19 decimals", "time,rate\n1,0.9999999999999999999\n", Options{Decimals: -1}, "line 2: rate: "},
		{"a comma that nobody explained", "time,rate\n1,\"0,9999\"\n", Options{Decimals: -1}, "line 2: rate: \"0,9999\" has a comma"},
		// Once: "MarshalJSON: year outside of range".
		{"the last nanosecond there is", "time,rate\n9223372036854775807,1\n", Options{Decimals: -1}, "is not between 1970 and 2262"},
		{"a year of five digits", "time,rate\n99999999999,1\n", Options{Decimals: -1}, `rates.csv: line 2: time: "99999999999" is not between 1970 and 2262`},
		{"more digits than an int64", "time,rate\n99999999999999999999,1\n", Options{Decimals: -1}, "line 2: time: "},
		{"before 1970", "time,rate\n1969-12-31T23:59:59Z,1\n", Options{Decimals: -1}, "line 2: time: "},
		{"after 2262", "time,rate\n2300-01-01T00:00:00Z,1\n", Options{Decimals: -1}, "line 2: time: "},
		{"no zone", "time,rate\n2023-11-14 22:13:20,1\n", Options{Decimals: -1}, "has no zone"},
		{"no time", "time,rate\n,1\n", Options{Decimals: -1}, "line 2: time: is empty"},
		{"no header and unknown columns", "1,2\n", Options{Decimals: -1}, "its 2 columns are of no known export"},
		{"unknown columns", "when,worth\n1,1\n", Options{Decimals: -1}, "name the columns of time and rate; its columns are when, worth"},
		{"a column that is not there", "time,rate\n1,1\n", Options{Decimals: -1, Rate: "price"}, `no column "price"`},
		{"a round that is no name", "round,time,rate\na b,1,1\n", Options{Decimals: -1}, "line 2: round: "},
		{"no rows", "time,rate\n", Options{Decimals: -1}, "no rounds"},
		{"a row with a cell too few", "round,time,rate\n1,2\n", Options{Decimals: -1}, "line 2: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(c.text, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "rates.csv") {
				t.Fatalf("got %q, %v; want an error with %q", shown(got), err, c.want)
			}
		})
	}
}

func TestOptionsOfAFile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		o          Options
		want       string
		leftOut    int
	}{
		{"named columns", "when,worth,id\n1700000000,0.9999,a\n", Options{Time: "when", Rate: "worth", Round: "id", Decimals: -1}, "2 a 2023-11-14T22:13:20Z 0.9999", 0},
		{"the close, where that is wanted", "time,low,high,open,close,volume\n1700000000,1,1,1,2,3\n", Options{Rate: "close", Round: "time", Decimals: -1}, "2 1700000000 2023-11-14T22:13:20Z 2", 0},
		{"rows without volume", "time,low,high,open,close,volume\n1,1,1,1,1,0.00\n2,1,1,1,1,0.5\n3,1,1,1,1,\n4,1,1,1,1,0E-8\n", Options{SkipNoVolume: true, Round: "time", Decimals: -1}, "3 2 1970-01-01T00:00:02Z 1", 3},
		{"a decimal comma", "time;rate\n1;0,9999\n", Options{Rows: rowfile.Options{Decimal: ','}, Round: "time", Decimals: -1}, "2 1 1970-01-01T00:00:01Z 0.9999", 0},
		{"decimals by option", "time,rate\n1,999900\n", Options{Round: "time", Decimals: 6}, "2 1 1970-01-01T00:00:01Z 0.9999", 0},
		{"comments and skipped lines", "exported by us\ntime,rate\n# now\n1,1\n", Options{Rows: rowfile.Options{Skip: 1, Comment: '#'}, Round: "time", Decimals: -1}, "4 1 1970-01-01T00:00:01Z 1", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(c.text, c.o)
			if err != nil || shown(got) != c.want || got.LeftOut != c.leftOut {
				t.Fatalf("got %q, %d left out, %v; want %q", shown(got), got.LeftOut, err, c.want)
			}
		})
	}
}

// The rounds of the published feed of USDC/USD.
func TestThePublishedRounds(t *testing.T) {
	name := published.Path(t, "4-rates/chainlink-usdc-usd-rounds-2022-11-20_2023-03-12.csv")
	got, err := Read(Options{Decimals: -1, Rows: rowfile.Options{Comment: '#'}}, func(o rowfile.Options) (*rowfile.Reader, error) { return rowfile.Open(name, o) })
	if err != nil || got.Layout != "Chainlink" || len(got.Rounds) != 400 || got.Rounds[0].Rate.String() != "1.00018009" || got.Lines[0] != 3 {
		t.Fatalf("%s, %d rounds, %v", got.Layout, len(got.Rounds), err)
	}
}
