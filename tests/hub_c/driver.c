/* Says what docs/hub/mqtt_sn_hub.h makes of its input, for tests/hub_c.rs to compare.
 *
 *   driver decode SIZE   octets of a line in, one text line for each frame and each damage out
 *   driver encode SIZE   one message a line in, as numbers and hexadecimal; frames in hexadecimal out,
 *                        "-" for what has no room or cannot be
 *
 * Behind each buffer are octets that nobody may touch.
 */
#include <stdio.h>
#include <stdlib.h>

#include "mqtt_sn_hub.h"

#define GUARD 16u

/* Longest input line, and the octets that it can have in hexadecimal. */
#define LINE 8192u

static void fail(const char *why)
{
    fprintf(stderr, "driver: %s\n", why);
    exit(1);
}

static uint8_t *guarded(size_t size)
{
    uint8_t *buffer = (uint8_t *)malloc(size + GUARD);
    if (buffer == NULL)
        fail("no memory");
    memset(buffer, 0xA5, size + GUARD);
    return buffer;
}

static void check_guard(const uint8_t *buffer, size_t size)
{
    size_t at;
    for (at = size; at < size + GUARD; at++)
        if (buffer[at] != 0xA5)
            fail("written beyond the buffer");
}

static void print_hex(const uint8_t *octets, size_t length)
{
    size_t at;
    if (length == 0)
        printf(".");
    for (at = 0; at < length; at++)
        printf("%02x", octets[at]);
}

/* "." is nothing. */
static size_t read_hex(const char *text, uint8_t *octets)
{
    size_t length = 0;
    unsigned octet;
    for (; sscanf(text, "%2x", &octet) == 1; text += 2)
        octets[length++] = (uint8_t)octet;
    return length;
}

static void print_message(const sn_hub_decoder *line)
{
    sn_hub_message message;
    int type = sn_hub_decode(line->buffer, line->contents, &message);
    printf("frame %d ", type);
    if (type == SN_HUB_HELLO_REQUEST)
        printf("%u", message.version);
    if (type == SN_HUB_SEND) {
        printf("%u %u ", message.sequence, message.broadcast);
        print_hex(message.to.octets, message.to.length);
        printf(" ");
        print_hex(message.packet, message.packet_length);
    }
    printf(" ");
    print_hex(line->buffer, line->contents);
    printf("\n");
}

static void decode(size_t size)
{
    uint8_t *buffer = guarded(size);
    sn_hub_decoder line;
    int octet;
    sn_hub_decoder_init(&line, buffer, size);
    while ((octet = getchar()) != EOF) {
        int said = sn_hub_push(&line, (uint8_t)octet);
        if (said == SN_HUB_FRAME)
            print_message(&line);
        else if (said != SN_HUB_MORE)
            printf("damage %d\n", said);
        check_guard(buffer, size);
    }
    free(buffer);
}

static sn_hub_address address(const char *text)
{
    uint8_t octets[LINE / 2];
    sn_hub_address result;
    size_t length = read_hex(text, octets);
    memset(&result, 0, sizeof result);
    result.length = (uint8_t)length;
    memcpy(result.octets, octets, length < sizeof result.octets ? length : sizeof result.octets);
    return result;
}

static size_t encode_received(const char *fields, uint8_t *out, size_t size)
{
    static char from[LINE], packet[LINE];
    static uint8_t octets[LINE / 2];
    sn_hub_received received;
    unsigned broadcast, lqi;
    int rssi;
    if (sscanf(fields, "%u %d %u %s %s", &broadcast, &rssi, &lqi, from, packet) != 5)
        fail("a packet cannot be read");
    received.broadcast = (uint8_t)broadcast;
    received.rssi = (int16_t)rssi;
    received.lqi = (uint8_t)lqi;
    received.from = address(from);
    received.packet = octets;
    received.packet_length = read_hex(packet, octets);
    return sn_hub_encode_received(out, size, &received);
}

static size_t encode_hello(const char *fields, uint8_t *out, size_t size)
{
    static char own[LINE], name_hex[LINE], radio_hex[LINE];
    static uint8_t name[LINE / 2], radio[LINE / 2];
    sn_hub_hello hello;
    unsigned started, max_packet, queue, duty_cycle, address_len;
    unsigned long bit_rate;
    if (sscanf(fields, "%u %u %u %u %lu %u %s %s %s", &started, &max_packet, &queue, &duty_cycle,
               &bit_rate, &address_len, own, name_hex, radio_hex) != 9)
        fail("a hello cannot be read");
    hello.started = (uint8_t)started;
    hello.max_packet = (uint16_t)max_packet;
    hello.queue = (uint8_t)queue;
    hello.duty_cycle = (uint16_t)duty_cycle;
    hello.bit_rate = (uint32_t)bit_rate;
    hello.address_len = (uint8_t)address_len;
    hello.address = address(own);
    name[read_hex(name_hex, name)] = 0;
    radio[read_hex(radio_hex, radio)] = 0;
    hello.name = (const char *)name;
    hello.radio = (const char *)radio;
    return sn_hub_encode_hello(out, size, &hello);
}

static void encode(size_t size)
{
    static char text[LINE];
    uint8_t *out = guarded(size);
    while (fgets(text, sizeof text, stdin) != NULL) {
        unsigned sequence, outcome;
        unsigned long milliseconds;
        size_t length;
        if (text[0] == 'R')
            length = encode_received(text + 1, out, size);
        else if (text[0] == 'H')
            length = encode_hello(text + 1, out, size);
        else if (sscanf(text, "T %u %u", &sequence, &outcome) == 2)
            length = sn_hub_encode_result(out, size, (uint8_t)sequence, (uint8_t)outcome);
        else if (sscanf(text, "B %lu", &milliseconds) == 1)
            length = sn_hub_encode_busy(out, size, (uint32_t)milliseconds);
        else {
            fail("no such message");
            return;
        }
        check_guard(out, size);
        if (length == 0)
            printf("-");
        else
            print_hex(out, length);
        printf("\n");
    }
    free(out);
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "decode") == 0)
        decode((size_t)strtoul(arguments[2], NULL, 10));
    else if (count == 3 && strcmp(arguments[1], "encode") == 0)
        encode((size_t)strtoul(arguments[2], NULL, 10));
    else if (count == 2 && strcmp(arguments[1], "sizes") == 0) {
        unsigned packet;
        for (packet = 0; packet <= 1000; packet++)
            printf("%u %u\n", SN_HUB_BUFFER_LEN(packet), SN_HUB_FRAME_LEN(packet));
    } else
        fail("usage: driver decode|encode SIZE, or driver sizes");
    return 0;
}
