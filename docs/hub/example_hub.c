/* A whole hub: fill in the four functions at the top for your board and radio.
 *
 * It sends one packet at a time and answers for it before it takes the next one, so there is no queue.
 * What comes from the UART while the radio sends has to be kept by uart_read's interrupt: one frame
 * for a packet and a few octets, SN_HUB_FRAME_LEN(MAX_PACKET) + 40 at most.
 *
 * Licence: Apache-2.0.
 */
#include "mqtt_sn_hub.h"

/* Octets of the longest packet that the radio carries. */
#define MAX_PACKET 60u

/* The next octet of the UART that the gateway is at, -1 if none has come. */
int uart_read(void);

/* Sends octets there, and returns when the last of them is on its way. */
void uart_write(const uint8_t *octets, size_t length);

/* Whether the radio has received a packet. Then it goes to `packet`, which has room for MAX_PACKET
 * octets, and everything else that is known about it to `received`. */
int radio_receive(sn_hub_received *received, uint8_t *packet);

/* Sends a packet and returns what became of it, one of SN_HUB_OUT_... If the radio may not send
 * for some time after this, its duty cycle being used up, that time goes to `busy`, in ms. */
uint8_t radio_send(const sn_hub_message *message, uint32_t *busy);

/* ------------------------------------------------------------------------------------------------ */

static uint8_t line_room[SN_HUB_BUFFER_LEN(MAX_PACKET)];
static uint8_t frame[SN_HUB_FRAME_LEN(MAX_PACKET)];
static uint8_t packet[MAX_PACKET];
static sn_hub_decoder line;

static void say_hello(uint8_t started)
{
    sn_hub_hello hello;
    memset(&hello, 0, sizeof hello);
    hello.started = started;
    hello.queue = 1;
    hello.max_packet = MAX_PACKET;
    hello.duty_cycle = 100;
    hello.bit_rate = 55555;
    hello.address_len = 1;
    hello.address.length = 1;
    hello.address.octets[0] = 1;
    hello.name = "attic";
    hello.radio = "RFM69HCW, 868.3 MHz";
    uart_write(frame, sn_hub_encode_hello(frame, sizeof frame, &hello));
}

static void send(const sn_hub_message *message)
{
    uint8_t outcome;
    uint32_t busy = 0;
    if (message->packet_length > MAX_PACKET)
        outcome = SN_HUB_OUT_TOO_LONG;
    else
        outcome = radio_send(message, &busy);
    /* Busy first: after the result the gateway would send the next packet. */
    if (busy > 0)
        uart_write(frame, sn_hub_encode_busy(frame, sizeof frame, busy));
    if (message->sequence != 0)
        uart_write(frame, sn_hub_encode_result(frame, sizeof frame, message->sequence, outcome));
}

static void from_gateway(uint8_t octet)
{
    sn_hub_message message;
    if (sn_hub_push(&line, octet) != SN_HUB_FRAME)
        return;
    switch (sn_hub_decode(line.buffer, line.contents, &message)) {
    case SN_HUB_HELLO_REQUEST:
        say_hello(0);
        break;
    case SN_HUB_SEND:
        send(&message);
        break;
    default:
        /* Of a later version: not for this hub. */
        break;
    }
}

int main(void)
{
    sn_hub_decoder_init(&line, line_room, sizeof line_room);
    say_hello(1);
    for (;;) {
        int octet = uart_read();
        sn_hub_received received;
        if (octet >= 0)
            from_gateway((uint8_t)octet);
        memset(&received, 0, sizeof received);
        received.packet = packet;
        if (radio_receive(&received, packet))
            uart_write(frame, sn_hub_encode_received(frame, sizeof frame, &received));
    }
}
