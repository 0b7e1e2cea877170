// Command aliquot turns compute usage into money and money into payouts, and
// can prove every cent of it.
//
// One binary holds every service. `aliquot up` runs all of them in one process
// on one folder; `aliquot ingest`, `settle`, `distribute` and `keep` run them
// as separate processes on a JetStream cluster and a database. Every other
// command asks the HTTP API: that of the server named by --url, or of the
// `aliquot up` that holds the folder. If nothing runs, it starts the same
// services for as long as the command takes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/aliquot-engine/aliquot/pkg/plain"
)

// root is the command line. Its names and defaults are the only configuration;
// each names its environment variable.
type root struct {
	Data        string `help:"Folder with the streams and the ledger." default:"aliquot-data" env:"ALIQUOT_DIR" type:"path"`
	URL         string `help:"Address of a running aliquot, instead of the folder." env:"ALIQUOT_URL" placeholder:"http://HOST:PORT"`
	Token       string `help:"Bearer token; the folder's own operator token by default." name:"bearer" env:"ALIQUOT_BEARER" placeholder:"SECRET"`
	DatabaseURL string `help:"PostgreSQL or CockroachDB that has the ledger, instead of ledger.db in the folder; see aliquot migrate." name:"database-url" env:"DATABASE_URL" placeholder:"postgres://HOST/NAME"`
	As          string `help:"Name of the person who decides, recorded with each decision." env:"ALIQUOT_AS" placeholder:"NAME"`
	JSON        bool   `help:"Print one JSON value instead of text." name:"json"`
	Quiet       bool   `help:"Show no progress." short:"q"`

	PrintVersion versionFlag `name:"version" help:"Print the version."`

	// prepare sets these from the command line.
	begins bool            // the command may create a ledger
	onLine map[string]bool // the flags that were given on the command line

	Up           upCommand           `cmd:"" help:"Run every service in one process."`
	Ingest       ingestCommand       `cmd:"" help:"Run the intake of usage and the API, on a cluster and a database."`
	Settle       settleCommand       `cmd:"" help:"Run settlement of some partitions, or stand by for the process that does."`
	Distribute   distributeCommand   `cmd:"" help:"Run distribution, or stand by for the process that does."`
	Keep         keepCommand         `cmd:"" help:"Keep the second copy and the signed logs, and serve the API with receipts, or stand by for the process that does."`
	Demo         demoCommand         `cmd:"" help:"Show how a whole day of usage becomes payouts, generated or from your own files."`
	Apply        applyCommand        `cmd:"" help:"Declare providers, books, nodes, customers, meters, cards, tokens and waterfalls from YAML."`
	Usage        usageCommand        `cmd:"" help:"Send usage, or ask what became of it."`
	Quotes       quotesCommand       `cmd:"" help:"Record observed stablecoin rates, or take one back."`
	Suspense     suspenseCommand     `cmd:"" help:"List and release usage that waits for a price."`
	Register     registerCommand     `cmd:"" help:"Import the holders of a token."`
	Holds        holdsCommand        `cmd:"" help:"Import screening lists: payouts to the holders on them are held back."`
	Deposit      depositCommand      `cmd:"" help:"Record that a customer's money has arrived, or take that back."`
	Collect      collectCommand      `cmd:"" help:"Let prepaid money cover what is owed."`
	Period       periodCommand       `cmd:"" help:"Close periods, or reopen them."`
	Distribution distributionCommand `cmd:"" help:"Declare and list distributions."`
	Payout       payoutCommand       `cmd:"" help:"Plan, export, confirm and correct payouts."`
	Balances     balancesCommand     `cmd:"" help:"List the balances of accounts."`
	Statement    statementCommand    `cmd:"" help:"Print the statement of a provider, a customer or a holder."`
	Check        checkCommand        `cmd:"" help:"Verify every invariant; if one is false, print the first difference and exit 1."`
	Replay       replayCommand       `cmd:"" help:"Derive everything again from the streams, or only from archives, and compare; if anything differs, print the first difference and exit 1."`
	State        stateCommand        `cmd:"" help:"Print the state root, the hash of everything that is derived from the streams."`
	Explain      explainCommand      `cmd:"" help:"Show where a usage event, an entry, a distribution or a payout comes from and where it goes."`
	Log          logCommand          `cmd:"" help:"Inspect, export and repair the verifiable logs of the streams and their second copies."`
	Export       exportCommand       `cmd:"" help:"Write a report to a file: journal, trial balance, FOCUS, audit trail and others, each row with the log that proves it."`
	Receipt      receiptCommand      `cmd:"" help:"Make a file that proves a usage event, a journal row or a payout to anybody."`
	Witness      witnessCommand      `cmd:"" help:"Watch another installation's logs: cosign checkpoints that extend what was seen, and keep evidence of those that do not. Auditors run it."`
	Verify       verifyCommand       `cmd:"" help:"Verify a receipt offline; exit 1 if it proves nothing."`
	Key          keyCommand          `cmd:"" help:"Make, list and revoke keys."`
	Status       statusCommand       `cmd:"" help:"Show the progress of every loop."`
	Migrate      migrateCommand      `cmd:"" help:"Create or upgrade the schema of the database of --database-url."`
	Bench        benchCommand        `cmd:"" help:"Measure the real path on this machine."`
	Openapi      openapiCommand      `cmd:"" help:"Print the description of the HTTP API."`
	Describe     describeCommand     `cmd:"" help:"Print every command with its flags and environment variables."`
	Version      versionCommand      `cmd:"" help:"Print the version."`
	Help         helpCommand         `cmd:"" help:"Show how a command is used, with examples."`
	Completion   completionCommand   `cmd:"" help:"Print the script that completes command lines in a shell."`
	Complete     completeCommand     `cmd:"" hidden:"" help:"List how a command line may continue; the completion scripts call it."`
}

// errFalse ends a command whose answer is no, with exit code 1 and no message.
var errFalse = errors.New("the answer is no")

// Exit codes.
const (
	exitDone   = 0
	exitNo     = 1 // the answer is no, or the command failed
	exitMisuse = 2 // the command line is wrong; nothing was done
)

func main() { os.Exit(run(os.Args[1:])) }

// run is main, with the exit code as its result.
func run(arguments []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var line root
	parser, err := newParser(&line, kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		panic(err) // A command is declared wrongly; then every test of this package fails.
	}
	parsed, err := parser.Parse(arguments)
	if err == nil {
		err = line.prepare(parsed)
	}
	if err == nil {
		err = parsed.Run()
	}
	var misuse *misuseError
	var unread *kong.ParseError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errFalse):
		return exitNo
	case errors.As(err, &unread):
		sayMisuse(os.Stderr, unread.Context, err)
		return exitMisuse
	case errors.As(err, &misuse):
		sayMisuse(os.Stderr, parsed, err)
		return exitMisuse
	default:
		fmt.Fprintln(os.Stderr, "aliquot:", plain.Lines(err.Error()))
		return exitNo
	}
}

// newParser returns a parser that reads command lines into line.
func newParser(line *root, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(line, append([]kong.Option{
		kong.Name("aliquot"),
		kong.Description("Turn compute usage into money, and money into payouts, exactly."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Help(printHelp),
		kong.Bind(line),
	}, options...)...)
}
