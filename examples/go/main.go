// A completion, whole and streamed, with OpenAI's SDK. Start Loom first (make run),
// then, as this is a module of its own:
//
//	set -a; . .loom/dev.env; set +a
//	cd examples/go && GOWORK=off go run .
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	client := openai.NewClient(
		option.WithBaseURL(os.Getenv("LOOM_BASE_URL")),
		option.WithAPIKey(os.Getenv("LOOM_API_KEY")),
	)
	ask := openai.ChatCompletionNewParams{
		Model:    "loom-demo",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello, Loom!")},
	}

	answer, err := client.Chat.Completions.New(ctx, ask)
	if err != nil {
		return err
	}
	fmt.Println(answer.Choices[0].Message.Content)
	fmt.Printf("%d tokens in, %d out\n", answer.Usage.PromptTokens, answer.Usage.CompletionTokens)

	stream := client.Chat.Completions.NewStreaming(ctx, ask)
	for stream.Next() {
		if choices := stream.Current().Choices; len(choices) > 0 {
			fmt.Print(choices[0].Delta.Content)
		}
	}
	fmt.Println()
	return stream.Err()
}
